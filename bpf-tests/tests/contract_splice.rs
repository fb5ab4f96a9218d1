//! The contract, held by `--plane splice` in network namespaces.

use bpf_tests::capability::Capability;
use bpf_tests::contract::Mount;
use bpf_tests::gateway::Plane;

const NEEDS: [Capability; 1] = [Capability::Netns];

bpf_tests::contract_anywhere!(Mount::routed(Plane::Splice); needs NEEDS);
bpf_tests::contract_routed!(Mount::routed(Plane::Splice); needs NEEDS);
