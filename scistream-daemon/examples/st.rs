fn main() {
    let p = scistream_daemon::dataplane::sockmap::Program::load(
        scistream_daemon::dataplane::sockmap::embedded_object(),
    )
    .unwrap();
    for _ in 0..10 {
        println!("{:?}", scistream_daemon::dataplane::self_test::run(&p));
    }
}
