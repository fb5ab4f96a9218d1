//! TUN devices, whose set-up has no safe form in std or rustix.
#![expect(unsafe_code, reason = "rustix has no typed ioctls for TUN devices")]

use std::ffi::{c_int, c_short};
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{IntegerSetter, Opcode, Setter, ioctl};

use super::packet::VIRTIO_HEADER;

const SET_DEVICE: Opcode = libc::TUNSETIFF as Opcode;
const SET_OFFLOAD: Opcode = libc::TUNSETOFFLOAD as Opcode;
const SET_HEADER_SIZE: Opcode = libc::TUNSETVNETHDRSZ as Opcode;

/// Checksums and TCP segmentation are left to whoever reads the packets.
const OFFLOADS: u32 = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;

/// `struct ifreq` as TUNSETIFF reads it: a name and flags, padded to the size of the whole.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    flags: c_short,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<Request>() == size_of::<libc::ifreq>());

/// Makes a TUN device called `name` in this thread's network namespace; it lasts as long as the
/// descriptor. Each read and write is one IP packet behind a virtio header, and neither waits.
///
/// `offloads` hands over TCP packets of up to 64 KB, to be segmented by whoever sends them on.
pub(super) fn open(name: &str, offloads: bool) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as c_short,
        rest: [0; 22],
    };
    // The last byte stays 0: it ends the name.
    if name.len() >= request.name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads one `struct ifreq`, whose size `Request` has by the assertion above.
    let set_device = unsafe { Setter::<SET_DEVICE, Request>::new(request) };
    // SAFETY: the request's type is the one that TUNSETIFF has, as said above.
    unsafe { ioctl(&device, set_device) }?;

    // SAFETY: TUNSETVNETHDRSZ reads one C int.
    let set_size = unsafe { Setter::<SET_HEADER_SIZE, c_int>::new(VIRTIO_HEADER as c_int) };
    // SAFETY: the request's type is the one that TUNSETVNETHDRSZ has, as said above.
    unsafe { ioctl(&device, set_size) }?;

    let features = if offloads { OFFLOADS } else { 0 };
    // SAFETY: TUNSETOFFLOAD takes its argument as a number.
    let set_offload = unsafe { IntegerSetter::<SET_OFFLOAD>::new_usize(features as usize) };
    // SAFETY: the request is the one that TUNSETOFFLOAD has, as said above.
    unsafe { ioctl(&device, set_offload) }?;
    Ok(device)
}
