//! The services that give access tokens.

use jiff::Timestamp;
use slowlane_profile::auth::{
    Auth, ClientCredentials, JwtBearer, RefreshToken, Secret, SecretError, TokenShape,
};
use slowlane_profile::{Base, Request};

/// A way to authenticate that gets tokens from a service.
#[derive(Clone, Copy)]
pub(super) enum Service<'a> {
    ClientCredentials(&'a ClientCredentials),
    JwtBearer(&'a JwtBearer),
    RefreshToken(&'a RefreshToken),
}

impl<'a> Service<'a> {
    pub(super) fn of(auth: Auth<'a>) -> Option<Self> {
        match auth {
            Auth::ClientCredentials(way) => Some(Service::ClientCredentials(way)),
            Auth::JwtBearer(way) => Some(Service::JwtBearer(way)),
            Auth::RefreshToken(way) => Some(Service::RefreshToken(way)),
            Auth::Header(_) | Auth::Basic(_) | Auth::SigV4(_) | Auth::ClientCertificate(_) => None,
        }
    }

    pub(super) fn shape(self) -> &'a TokenShape {
        match self {
            Service::ClientCredentials(way) => &way.token,
            Service::JwtBearer(way) => &way.token,
            Service::RefreshToken(way) => &way.token,
        }
    }

    pub(super) fn request(
        self,
        secret: &Secret,
        base: &Base,
        now: Timestamp,
    ) -> Result<Request, SecretError> {
        match self {
            Service::ClientCredentials(way) => way.request(secret, base),
            Service::JwtBearer(way) => way.request(secret, base, now),
            Service::RefreshToken(way) => way.request(secret, base),
        }
    }
}
