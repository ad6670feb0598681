/** What `--help` prints. */
export function usage(program: string): string {
  return `usage: ${program} [flags] https://HOST[:PORT]/PATH ...

Fetches each URL over TLS and writes its body to standard output, or to files.

  -o, --output FILE          write the body to FILE, for the next URL that has none; - is standard output
  -i, --include              write the head of the answer before its body
  -L, --location             follow redirects, at most 10, to https only
  -X, --request METHOD       default GET, with -d POST
  -H, --header "NAME: TEXT"  send this field; "NAME:" leaves out one that would be sent
  -d, --data TEXT            send TEXT, or a file with @FILE, or standard input with @-
  -f, --fail                 end with 22 for a status of 400 or more, and write no body
      --max-time SECONDS     give up on a URL after so long
      --connect-to H1:P1:H2:P2   connect to H2:P2 for the URLs of H1:P1; each part may be empty
      --no-keepalive         a connection of its own for each request
      --json                 a report per URL on standard output, one line each; a body goes to -o only
  -v, --verbose              tell of connections, certificates and decisions on standard error
  -s, --silent               no progress bar

Trust:
      --cacert FILE          trust the authorities in this PEM or DER file, in place of the host's
      --crlfile FILE         with the revocation lists in this PEM or DER file
      --cert NAME            show this identity, which the host was granted by that name, to the hosts of the URLs
      --tls-max 1.2|1.3      the highest version
      --pinnedpubkey PINS    refuse every server whose key is not one of sha256//BASE64[;sha256//BASE64...]
      --accept-invalid       go on in spite of a refused certificate, where the embedder has granted that

Fields given with -H go to other hosts on a redirect only if they are known to hold no secret.

Exit codes:
   0  every URL was fetched              26  a file to send cannot be read
   1  unexpected                         28  time is over
   2  wrong command line                 35  TLS handshake failed
   3  not an https URL                   47  a redirect too many, or not followed
   6  name not resolved                  52  no answer
   7  not connected                      56  connection broke before the answer
   8  not HTTP/1                         58  no such identity
  18  body cut short                     60  certificate refused
  22  HTTP error, with --fail            77  --cacert or --crlfile of no use
  23  cannot write                       90  key not pinned
With several URLs it is the code of the first that failed.
`;
}
