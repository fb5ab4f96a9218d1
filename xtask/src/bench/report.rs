//! The files of a run: raw JSON, Markdown tables, one HTML page, and, asked for, the page as a
//! picture; and `cargo xtask bench report`, which writes them again or compares two runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::compare::compare;
use super::results::Results;
use super::{html, markdown};
use crate::setup;

/// Pixels of the picture: wide enough for three plots side by side.
const WIDTH: u32 = 1_500;
/// Pixels of a picture at most; a browser draws no more.
const MOST_HEIGHT: u32 = 16_000;
/// Pixels of a plot with what lies between two.
const PLOT_HEIGHT: usize = 290;
/// Plots side by side.
const PLOTS_ABREAST: usize = 3;
/// Pixels of a line of a table or a text.
const LINE_HEIGHT: usize = 30;

/// Arguments of `cargo xtask bench report`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// The JSON of a run of `bench peers`, `fabric` or `scale`
    results: PathBuf,
    /// Say what became better or worse than in this older run; fails when something became worse
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Also draw the page as a picture, by a browser that is unpacked into target/toolchain/
    #[arg(long)]
    png: bool,
}

/// Entry point of `cargo xtask bench report`.
pub(super) fn run(args: &ReportArgs) -> Result<()> {
    let ReportArgs {
        results: file,
        compare: older,
        png,
    } = args;
    let results = Results::read(file)?;
    let base = file.with_extension("");
    let page = write_pages(&results, &base)?;
    println!("{}", page.display());
    if *png {
        println!("{}", draw(&page)?.display());
    }
    older
        .as_deref()
        .map_or(Ok(()), |older| tell_changes(older, &results))
}

/// Prints what changed since the run in `older`.
///
/// Errors when a cell became worse by more than the noise, or `older` cannot be read.
pub(super) fn tell_changes(older: &Path, results: &Results) -> Result<()> {
    let comparison = compare(&Results::read(older)?, results);
    println!("{}", comparison.text);
    match comparison.regressions {
        0 => Ok(()),
        worse => bail!("{worse} cells are worse than in {}", older.display()),
    }
}

/// Writes the raw run and its pages as `base` with their extensions; answers with the page.
///
/// Errors when a file cannot be written; none is left half-written.
pub(super) fn write_all(results: &Results, base: &Path) -> Result<PathBuf> {
    let mut json = serde_json::to_string(results).context("writing the run as JSON")?;
    json.push('\n');
    write(&base.with_extension("json"), &json)?;
    write_pages(results, base)
}

fn write_pages(results: &Results, base: &Path) -> Result<PathBuf> {
    write(&base.with_extension("md"), &markdown::markdown(results))?;
    let page = base.with_extension("html");
    write(&page, &html::page(results))?;
    Ok(page)
}

/// Written beside and moved into place: a file of that name is always whole.
fn write(file: &Path, text: &str) -> Result<()> {
    let partial = file.with_extension("partial");
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, file));
    if written.is_err() {
        // The reason is in the error; there may be nothing to remove.
        drop(fs::remove_file(&partial));
    }
    written.with_context(|| {
        format!(
            "cannot write {}: is the disk full, or the folder another user's?",
            file.display()
        )
    })
}

/// Draws a page by a browser.
///
/// Errors when there is no browser to be had.
pub(super) fn draw(page: &Path) -> Result<PathBuf> {
    let page = fs::canonicalize(page).with_context(|| format!("no page {}", page.display()))?;
    let text =
        fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    let png = page.with_extension("png");
    setup::browser()?.draw(&page, &png, (WIDTH, height(&text)))?;
    Ok(png)
}

/// About as high as the page is: a picture has to be given a height before it is drawn.
fn height(page: &str) -> u32 {
    let plots: usize = page
        .split("<div class=\"plots\">")
        .skip(1)
        .map(|row| row.split("</div>").next().unwrap_or_default())
        .map(|row| row.matches("<svg").count().div_ceil(PLOTS_ABREAST))
        .sum();
    let lines = ["<tr>", "<li>", "<p>", "<h2>", "<details>"]
        .map(|tag| page.matches(tag).count())
        .iter()
        .sum::<usize>();
    let pixels = 300 + plots * PLOT_HEIGHT + lines * LINE_HEIGHT;
    u32::try_from(pixels)
        .unwrap_or(MOST_HEIGHT)
        .min(MOST_HEIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::metric::Metric;
    use crate::bench::results::fixture;
    use crate::bench::subject::Subject;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("report-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_run_comes_back_from_its_file_as_it_was_and_its_page_loads_nothing() {
        let scene = fixture::bulk(16_384);
        let results = fixture::results(&[
            (scene, Subject::NoProxy, Metric::Goodput, &[1.0, 1.1, 1.2]),
            (scene, Subject::Auto, Metric::Goodput, &[1.0, 1.1, 1.2]),
        ]);
        let folder = folder();
        let page = write_all(&results, &folder.join("run")).unwrap();
        let text = fs::read_to_string(page).unwrap();
        assert_eq!(Results::read(&folder.join("run.json")).unwrap(), results);
        let names: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
        assert_eq!(names.len(), 3, "{names:?}");
        fs::remove_dir_all(&folder).unwrap();
        for foreign in ["src=", "href=", "<script", "@import", "url("] {
            assert!(!text.contains(foreign), "{foreign}");
        }
        assert!(text.contains("<h2>The targets</h2>"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_nothing_and_says_why() {
        let error = write(Path::new("/dev/full/x.json"), "x").unwrap_err();
        assert!(
            error.to_string().contains("cannot write /dev/full/x.json"),
            "{error}"
        );
    }

    #[test]
    fn a_file_of_the_other_suite_is_refused_in_words() {
        let file = std::env::temp_dir().join(format!("old-{}.json", std::process::id()));
        fs::write(&file, "{\"format\": 1}").unwrap();
        let error = Results::read(&file).unwrap_err().to_string();
        fs::remove_file(&file).unwrap();
        assert!(error.contains("format 1"), "{error}");
    }
}
