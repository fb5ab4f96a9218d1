//! The contract, held by `--plane auto` in network namespaces.

use bpf_tests::capability::Capability;
use bpf_tests::contract::Mount;
use bpf_tests::gateway::Plane;

const NEEDS: [Capability; 2] = [Capability::Netns, Capability::Bpf];

bpf_tests::contract_anywhere!(Mount::routed(Plane::Auto); needs NEEDS);
bpf_tests::contract_routed!(Mount::routed(Plane::Auto); needs NEEDS);
