//! A sheet as Markdown: for a terminal, a commit, an issue.

use super::Sheet;
use super::verdict::Verdict;
use crate::bench::others::DISTURBED;
use crate::bench::table::Table;

/// The whole report.
pub(super) fn markdown(sheet: &Sheet) -> String {
    let mut text = head(sheet);
    let targets = rows(sheet.verdicts.iter().filter(|it| it.outcome.is_some()));
    text += &format!("\n## The targets\n\n{targets}");
    for heading in &sheet.headings {
        let own: Vec<&Verdict> = sheet
            .verdicts
            .iter()
            .filter(|verdict| verdict.heading == *heading)
            .collect();
        if !own.is_empty() {
            text += &format!("\n## {heading}\n\n{}", figures(&own));
        }
    }
    text += &bullets(
        "Published, by others and on other machines",
        &sheet.published,
    );
    text += &bullets("How it was measured", &sheet.settings);
    text + &failures(sheet)
}

fn head(sheet: &Sheet) -> String {
    let machine = &sheet.machine;
    let virtual_words = if machine.virtual_machine {
        " of a virtual machine"
    } else {
        ""
    };
    let mut text = format!(
        "# cargo xtask bench {}\n\n{}, {:.0} minutes; {} repeats, interleaved by seed {}. Medians ± half of their 95 % interval.\n\n\
         {}, {} cores{virtual_words} for everything together, {} GiB, {}, kernel {}; load average at the start {}.\n",
        sheet.suite,
        sheet.started,
        sheet.minutes,
        sheet.repeats,
        sheet.seed,
        machine.cpu,
        machine.cores,
        (machine.memory_kib + 524_288) / 1_048_576,
        machine.system,
        machine.kernel,
        machine.load_average
    );
    let disturbed = sheet.samples.iter().filter(|it| it.others > DISTURBED);
    let disturbed = disturbed.count();
    if disturbed > 0 {
        text += &format!(
            "\n**Other programs used more than {DISTURBED:.2} CPU-s/s during {disturbed} of {} samples: times may be theirs.**\n",
            sheet.samples.len()
        );
    }
    text
}

fn rows<'a>(verdicts: impl Iterator<Item = &'a Verdict>) -> Table {
    let headings = ["where", "what", "target", "found", "outcome"].map(str::to_owned);
    let mut table = Table::new(headings.to_vec());
    for verdict in verdicts {
        let Verdict {
            heading,
            quantity,
            figure,
            outcome,
        } = verdict;
        let target = quantity.target.map(|target| target.words(quantity.digits));
        table.push(vec![
            heading.clone(),
            format!("{}, {}", quantity.name, quantity.unit),
            target.unwrap_or_default(),
            figure.words(quantity.digits),
            outcome.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn figures(verdicts: &[&Verdict]) -> Table {
    let headings = ["what", "unit", "found"].map(str::to_owned);
    let mut table = Table::new(headings.to_vec());
    for verdict in verdicts {
        let quantity = &verdict.quantity;
        table.push(vec![
            quantity.name.clone(),
            quantity.unit.to_owned(),
            verdict.figure.words(quantity.digits),
        ]);
    }
    table
}

fn bullets(title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    format!("\n## {title}\n\n* {}\n", items.join("\n* "))
}

fn failures(sheet: &Sheet) -> String {
    let failed = sheet.samples.iter().filter_map(|sample| {
        let why = sample.failure.as_ref()?;
        let heading = sheet.headings.get(sample.part)?;
        Some(format!("{heading}, repeat {}: {why}", sample.repeat + 1))
    });
    bullets("Failed", &failed.collect::<Vec<_>>())
}
