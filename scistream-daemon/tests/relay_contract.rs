//! The contract of the planes that need no privilege, held by `s2cs forward` over loopback. The
//! same cases, and the planes that want the kernel's help, run in network namespaces in
//! `bpf-tests`.

use bpf_tests::capability::Capability;

/// Loopback needs nothing.
const NEEDS: [Capability; 0] = [];
/// The gateway under test: cargo has built it for these tests.
const S2CS: &str = env!("CARGO_BIN_EXE_s2cs");

mod copy {
    use super::{NEEDS, S2CS};
    use bpf_tests::contract::Mount;
    use bpf_tests::gateway::Plane;

    bpf_tests::contract_anywhere!(Mount::loopback(Plane::Copy, S2CS); needs NEEDS);
}

mod splice {
    use super::{NEEDS, S2CS};
    use bpf_tests::contract::Mount;
    use bpf_tests::gateway::Plane;

    bpf_tests::contract_anywhere!(Mount::loopback(Plane::Splice, S2CS); needs NEEDS);
}
