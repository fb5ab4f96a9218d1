//! Calls whose messages are written byte by byte: what generated code would never send.

use prost::bytes::{Buf, BufMut};
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

use crate::rig::by;

/// Messages as they are.
#[derive(Clone, Copy, Default)]
struct AsTheyAre;

impl Codec for AsTheyAre {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AsTheyAre {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for AsTheyAre {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// Calls `path` (`scistream.Control/req`) with these bytes as its message.
pub(crate) async fn call(
    channel: &Channel,
    token: &str,
    path: &str,
    message: Vec<u8>,
) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(channel.clone()).max_encoding_message_size(64 << 20);
    grpc.ready().await.unwrap();
    let path = format!("/{path}").parse().unwrap();
    let answer = grpc.unary(by(token, message), path, AsTheyAre).await?;
    Ok(answer.into_inner())
}

/// A field of text, bytes or a message.
pub(crate) fn text(tag: u32, value: &[u8]) -> Vec<u8> {
    let mut field = Vec::with_capacity(value.len() + 10);
    put(u64::from(tag << 3 | 2), &mut field);
    put(value.len() as u64, &mut field);
    field.extend_from_slice(value);
    field
}

/// A field with a number; one below zero has ten bytes.
pub(crate) fn number(tag: u32, value: i64) -> Vec<u8> {
    let mut field = Vec::new();
    put(u64::from(tag << 3), &mut field);
    put(value.cast_unsigned(), &mut field);
    field
}

/// A number in groups of seven bits, the lowest first.
fn put(mut value: u64, field: &mut Vec<u8>) {
    while value > 0x7f {
        field.push(value as u8 | 0x80);
        value >>= 7;
    }
    field.push(value as u8);
}
