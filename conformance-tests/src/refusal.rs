//! Operations that must be refused: of the right kind, and certainly without effect.

use std::fmt::Debug;
use std::mem::discriminant;

use registry_api::{Effect, Error, ErrorKind};

use crate::Guarantee::G15;
use crate::broken::ensure_eq;
use crate::{Broken, Guarantee, Outcome};

/// The error of an operation that must have been refused with `kind` and without effect (G15).
#[track_caller]
pub(crate) fn refused<T: Debug>(
    guarantee: Guarantee,
    what: &str,
    result: Result<T, Error>,
    kind: &ErrorKind,
) -> Outcome<Error> {
    let error = refused_somehow(guarantee, what, result)?;
    if error.kind() != kind {
        return Err(Broken::new(guarantee, format!("{what} must be refused with {kind:?}, not with: {error:?}")));
    }
    ensure_eq!(G15, error.effect(), Effect::NotApplied, "the effect of {what}, refused with {kind:?}");
    Ok(error)
}

/// As [`refused`], for one of several kinds.
#[track_caller]
pub(crate) fn refused_as_one_of<T: Debug>(
    guarantee: Guarantee,
    what: &str,
    result: Result<T, Error>,
    kinds: &[ErrorKind],
) -> Outcome<Error> {
    let error = refused_somehow(guarantee, what, result)?;
    if !kinds.iter().any(|kind| discriminant(kind) == discriminant(error.kind())) {
        return Err(Broken::new(
            guarantee,
            format!("{what} must be refused with one of {kinds:?}, not with: {error:?}"),
        ));
    }
    Ok(error)
}

#[track_caller]
fn refused_somehow<T: Debug>(guarantee: Guarantee, what: &str, result: Result<T, Error>) -> Outcome<Error> {
    match result {
        Ok(value) => Err(Broken::new(guarantee, format!("{what} must be refused, and gave {value:?}"))),
        Err(error) => Ok(error),
    }
}
