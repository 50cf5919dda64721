//! How messages of every stream are encoded: as protobuf, in buffers that begin small.
//!
//! A member holds a stream for each of its clients, most of them silent most of the time. The buffers of `tonic` begin at
//! 8 KiB each, one for each direction; these grow to that where there is anything to send.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Room for a few messages of a client without values.
const BUFFER_LEN: usize = 1 << 10;
/// Messages are sent once they fill this; the default of `tonic`.
const SEND_AT_LEN: usize = 32 << 10;

/// Encodes `T` and decodes `U`.
#[derive(Clone, Debug)]
pub(crate) struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::new(BUFFER_LEN, SEND_AT_LEN))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::new(BUFFER_LEN, SEND_AT_LEN))
    }
}
