//! `s2cs probe`: findings, and an exit code that follows the worst of them.

use serde_json::Value;

use crate::gateway::run;

#[test]
fn the_findings_are_json_on_request_and_decide_the_exit_code() {
    let output = run(&["probe", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let exit_code = |status: &Value| match status.as_str().unwrap() {
        "ok" => 0,
        "warn" => 1,
        "fail" => 2,
        other => panic!("{other}"),
    };
    let worst = checks.iter().map(|check| exit_code(&check["status"])).max();
    assert_eq!(output.status.code(), worst);
    assert_eq!(exit_code(&report["status"]), worst.unwrap());
    for name in [
        "kernel",
        "btf",
        "capabilities",
        "sockmap",
        "splice",
        "ktls",
        "open files",
    ] {
        let check = checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("no {name}"));
        let mended = check["mend"].as_str().unwrap().is_empty();
        assert_eq!(mended, check["status"] == "ok", "{check}");
    }
}

#[test]
fn the_table_has_one_line_per_finding() {
    let table = String::from_utf8(run(&["probe"]).stdout).unwrap();
    let json: Value = serde_json::from_slice(&run(&["probe", "--json"]).stdout).unwrap();
    assert_eq!(
        table.lines().count(),
        json["checks"].as_array().unwrap().len()
    );
    assert!(table.lines().all(|line| line.contains("wanted: ")));
}
