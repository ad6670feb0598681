/** What a client has to know to go through a proxy. */
export interface ProxyAccess {
  /** With the token, if one is asked for: `http://sallyport:TOKEN@127.0.0.1:8080`. */
  url: string;
  /** PEM file with the root of the proxy's authority; `undefined` if it intercepts nothing. */
  caFile: string | undefined;
  /** PEM file with the system's roots and that root. */
  bundleFile: string | undefined;
}

/** Variables that keep programs from using the proxy, or from trusting it: unset them. */
export const unsetVariables = ["NO_PROXY", "no_proxy", "SSL_CERT_DIR"] as const;

/**
 * The environment in which programs use the proxy and trust what it shows them. Of the variables for certificates, some name
 * what is trusted as well, others what is trusted in place of the system's roots: those get the bundle.
 */
export function clientEnvironment({ url, caFile, bundleFile }: ProxyAccess): Record<string, string> {
  const environment: Record<string, string> = {
    http_proxy: url,
    https_proxy: url,
    all_proxy: url,
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    ALL_PROXY: url,
    NODE_USE_ENV_PROXY: "1",
  };
  if (caFile !== undefined) environment.NODE_EXTRA_CA_CERTS = caFile;
  if (bundleFile !== undefined) for (const name of BUNDLE_VARIABLES) environment[name] = bundleFile;
  return environment;
}

/** As lines for a POSIX shell. */
export function shellLines(environment: Record<string, string>): string[] {
  return Object.entries(environment).map(([name, value]) => `export ${name}=${quoted(value)}`);
}

/** Each replaces the roots that the program has, but for Deno's, which adds. */
const BUNDLE_VARIABLES = [
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "PIP_CERT",
  "GIT_SSL_CAINFO",
  "CARGO_HTTP_CAINFO",
  "AWS_CA_BUNDLE",
  "DENO_CERT",
  "NIX_SSL_CERT_FILE",
  "HTTPLIB2_CA_CERTS",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
  "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
] as const;

function quoted(value: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
