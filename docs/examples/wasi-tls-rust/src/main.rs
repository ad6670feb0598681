//! Runs a command that imports `wasi:tls` and trusts the certificate authorities of a file, and no others:
//! wasi-tls-rust CA.pem https-get-wasi-tls.wasm ARGUMENTS...

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::error::{Context, Result};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_tls::p2::LinkOptions;
use wasmtime_wasi_tls::{
    Error, TlsProvider, TlsStream, TlsTransport, WasiTlsCtx, WasiTlsCtxBuilder, WasiTlsCtxView, WasiTlsView,
};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let anchors = arguments.next().context("wasi-tls-rust CA.pem COMPONENT.wasm ARGUMENTS...")?;
    let command: Vec<String> = arguments.collect();
    let component = command.first().context("no component")?;
    let authorities = PrivateAuthorities::read(&anchors)?;

    let engine = Engine::default();
    let component = Component::from_file(&engine, component)?;
    let mut linker = Linker::<Host>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut tls = LinkOptions::default();
    wasmtime_wasi_tls::p2::add_to_linker(&mut linker, tls.tls(true))?;

    let host = Host {
        // Every address and every name: `socket_addr_check` is the place to allow less.
        wasi: WasiCtx::builder()
            .args(&command)
            .inherit_stdio()
            .inherit_network()
            .allow_tcp(true)
            .allow_ip_name_lookup(true)
            .build(),
        tls: WasiTlsCtxBuilder::new().provider(Box::new(authorities)).build(),
        table: ResourceTable::new(),
    };
    let mut store = Store::new(&engine, host);
    let command = Command::instantiate_async(&mut store, &component, &linker).await?;
    match command.wasi_cli_run().call_run(&mut store).await {
        Ok(Ok(())) => Ok(ExitCode::SUCCESS),
        Ok(Err(())) => Ok(ExitCode::FAILURE),
        // wasi:cli/exit ends the instance; the code is the component's.
        Err(error) => Ok(ExitCode::from(error.downcast::<I32Exit>()?.0 as u8)),
    }
}

/// rustls with trust anchors of one's own; that of wasmtime-wasi-tls has the public ones built in.
struct PrivateAuthorities(TlsConnector);

impl PrivateAuthorities {
    fn read(file: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn TlsStream>, Error>> + Send>>;

impl TlsProvider for PrivateAuthorities {
    fn connect(&self, server_name: String, transport: Box<dyn TlsTransport>) -> Connecting {
        let connector = self.0.clone();
        Box::pin(async move {
            let name = ServerName::try_from(server_name).map_err(|_| Error::msg("invalid server name"))?;
            let stream = connector.connect(name, transport).await.map_err(Error::msg)?;
            Ok(Box::new(stream) as Box<dyn TlsStream>)
        })
    }
}

struct Host {
    wasi: WasiCtx,
    tls: WasiTlsCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiTlsView for Host {
    fn tls(&mut self) -> WasiTlsCtxView<'_> {
        WasiTlsCtxView { ctx: &mut self.tls, table: &mut self.table }
    }
}
