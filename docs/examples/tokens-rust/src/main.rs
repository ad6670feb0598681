//! Issues, verifies and revokes capability tokens with tokens.wasm: tokens-rust tokens.wasm CERTIFICATE.der

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::error::{Context, Result};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

// Typed from the WIT alone. The world names what is called here, not what the component imports.
wasmtime::component::bindgen!({
    inline: "package example:tokens; world caller { export sallyport:policy/tokens@0.1.0; }",
    path: ["../../../wit/deps/wasi-io", "../../../wit/deps/wasi-clocks", "../../../wit/deps/wasi-random", "../../../wit/policy/tokens.wit"],
});

use exports::sallyport::policy::tokens::{Channel, Claims, TokenError};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let component = arguments.next().context("tokens-rust TOKENS.wasm CERTIFICATE.der")?;
    let certificate = std::fs::read(arguments.next().context("no certificate")?)?;

    let engine = Engine::default();
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    // No files, no environment, no network. The component needs the clock and random numbers.
    let host = Host { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
    let mut store = Store::new(&engine, host);
    let caller = Caller::instantiate(&mut store, &Component::from_file(&engine, component)?, &linker)?;
    let tokens = caller.sallyport_policy_tokens();
    let (issuers, verifiers) = (tokens.issuer(), tokens.verifier());

    let alice = channel(tokens.call_certificate_sha256(&mut store, &certificate)?);
    let somebody = channel(vec![0; 32]);
    let issuer = tokens.call_generate_issuer(&mut store, "ops-1")??;
    let groups = ["BEAM".to_owned()];
    let token = issuers.call_issue(&mut store, issuer, "alice", &groups, "api", 3600, &alice)??;
    let verifier = tokens.call_create_verifier(&mut store, "api")?;

    show("nobody trusted", verifiers.call_verify(&mut store, verifier, &token, &alice)?);
    let key = issuers.call_public_key(&mut store, issuer)?;
    verifiers.call_trust(&mut store, verifier, "ops-1", &key)??;
    show("her certificate", verifiers.call_verify(&mut store, verifier, &token, &alice)?);
    show("another certificate", verifiers.call_verify(&mut store, verifier, &token, &somebody)?);
    verifiers.call_revoke(&mut store, verifier, "ops-1", "alice")?;
    show("revoked", verifiers.call_verify(&mut store, verifier, &token, &alice)?);
    verifiers.call_unrevoke(&mut store, verifier, "ops-1", "alice")?;
    show("taken back", verifiers.call_verify(&mut store, verifier, &token, &alice)?);
    Ok(())
}

/// What is known of the connection: here the client's certificate, and no RFC 9266 value.
fn channel(certificate_sha256: Vec<u8>) -> Channel {
    Channel { certificate_sha256: Some(certificate_sha256), tls_exporter: None }
}

/// The subject, or the reason why there is none.
fn show(when: &str, verified: Result<Claims, TokenError>) {
    match verified {
        Ok(claims) => println!("{when}: {}", claims.subject),
        Err(error) => println!("{when}: refused, {}", error.name()),
    }
}

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
