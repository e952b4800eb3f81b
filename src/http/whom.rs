//! Who is meant: a profile by its id, or whoever reads mail at an address.

use jiff::Timestamp;

use crate::http::Service;
use crate::http::problem::Problem;
use crate::profile::EmailAddress;
use crate::profile::Profile;
use crate::profile::ProfileId;
use crate::store::Store;

/// Somebody to whom a mail is to go.
#[derive(Debug)]
pub(super) struct Person {
    /// Who.
    pub(super) profile: Profile,
    /// Whether nobody knew them before this request.
    pub(super) known: Known,
    /// Where the mail goes instead of to the profile's own address.
    pub(super) to: Option<EmailAddress>,
}

impl Person {
    /// That the request names no other address than the profile's own.
    pub(super) fn has_one_address(&self) -> Result<(), Problem> {
        match (&self.profile.address, &self.to) {
            (Some(own), Some(to)) if own.key() != to.key() => {
                let detail = "address: the profile has another one; identify it with the new one first";
                Err(Problem::conflict(detail))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a profile is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is.
    Before,
    /// It would have to be added.
    Not,
}

/// Finds the person, or makes one up for an address that nobody has. Of several profiles with one address none is
/// taken: what one of them did is not for the eyes of the others.
pub(super) async fn person(
    service: &Service,
    profile: Option<&str>,
    address: Option<&str>,
) -> Result<Person, Problem> {
    let store = service.store();
    let address = address.map(read_address).transpose()?;
    if let Some(address) = &address
        && !store.erased_addresses(&[address.key()]).await?.is_empty()
    {
        return Err(Problem::conflict(
            "address: it was erased at its owner's request, and is not written to",
        ));
    }
    match (profile.map(read_id).transpose()?, address) {
        (None, None) => Err(Problem::unprocessable("profile: name a profile or an address")),
        (Some(id), to) => match (store.profile(&id).await?, to) {
            (Some(profile), None) if profile.address.is_none() => {
                Err(Problem::conflict(format!("profile: {id} has no address; send address too")))
            }
            (Some(profile), to) => Ok(Person { profile, known: Known::Before, to }),
            (None, Some(to)) => Ok(stranger(id, &to, service.now())),
            (None, None) => Err(unknown(&id)),
        },
        (None, Some(to)) => reader(service, to).await,
    }
}

/// Whoever reads mail at an address.
async fn reader(service: &Service, to: EmailAddress) -> Result<Person, Problem> {
    let store = service.store();
    let mut found = store.profiles_by_address(&to).await?;
    if found.len() == 1
        && let Some(profile) = found.pop()
    {
        return Ok(Person { profile, known: Known::Before, to: Some(to) });
    }
    let id = id_of_address(store, &to).await?;
    Ok(match store.profile(&id).await? {
        Some(profile) => Person { profile, known: Known::Before, to: Some(to) },
        None => stranger(id, &to, service.now()),
    })
}

/// 404 for a profile that is not there.
pub(super) fn unknown(id: &ProfileId) -> Problem {
    Problem::not_found(format!("profile: there is no profile {id}; identify it first, or send an address"))
}

/// An id from a field called `profile`.
pub(super) fn read_id(text: &str) -> Result<ProfileId, Problem> {
    ProfileId::parse(text).map_err(|error| Problem::unprocessable(format!("profile: {error}")))
}

fn read_address(text: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(text).map_err(|error| Problem::unprocessable(format!("address: {error}")))
}

/// The id of somebody of whom only an address is known: the same for the same address.
async fn id_of_address(store: &Store, address: &EmailAddress) -> Result<ProfileId, Problem> {
    let print = store.fingerprints().await?.of("id", &address.key());
    ProfileId::parse(&format!("address:{print}"))
        .map_err(|error| Problem::unprocessable(format!("address: {error}")))
}

fn stranger(id: ProfileId, address: &EmailAddress, now: Timestamp) -> Person {
    let profile = Profile { address: Some(address.clone()), ..Profile::nameless(id, now) };
    Person { profile, known: Known::Not, to: Some(address.clone()) }
}
