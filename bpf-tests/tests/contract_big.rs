//! The cases of the contract that take long, on all planes. Not run by plain `cargo test`: see the
//! list in `bpf_tests::contract`. Most of them sleep, so `--test-threads` may exceed the CPUs.

macro_rules! plane {
    ($name:ident, $plane:ident) => {
        mod $name {
            use bpf_tests::capability::Capability;
            use bpf_tests::contract::Mount;
            use bpf_tests::gateway::Plane;

            const NEEDS: [Capability; 2] = [Capability::Netns, Capability::Bpf];

            bpf_tests::contract_big!(Mount::routed(Plane::$plane); needs NEEDS);
        }
    };
}

plane!(auto, Auto);
plane!(copy, Copy);
plane!(sockmap, Sockmap);
plane!(splice, Splice);
