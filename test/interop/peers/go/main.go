// A peer that is Go's crypto/tls: `go-peer serve FLAGS` or `go-peer connect FLAGS`. What happens is told as one JSON object a
// line. The protocol over TLS is lines: each comes back reversed, CLOSE ends the connection. A line that starts as an HTTP
// request is answered as one.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"time"
)

const limit = 10 * time.Second

type options struct {
	address, name, cert, key, ca, alpn, behave string
	version, request                           string
	require                                    bool
	rounds                                     int
}

type event map[string]any

func main() {
	if len(os.Args) < 2 {
		fatal(errors.New("serve or connect?"))
	}
	var o options
	flags := flag.NewFlagSet("go-peer", flag.ExitOnError)
	flags.StringVar(&o.address, "address", "127.0.0.1:0", "")
	flags.StringVar(&o.name, "name", "", "server name")
	flags.StringVar(&o.cert, "cert", "", "chain, PEM")
	flags.StringVar(&o.key, "key", "", "PEM")
	flags.StringVar(&o.ca, "ca", "", "whom to trust, PEM")
	flags.StringVar(&o.alpn, "alpn", "", "ids, with commas between")
	flags.StringVar(&o.version, "version", "", "the only version: 1.1, 1.2, 1.3")
	flags.StringVar(&o.behave, "behave", "", "truncate, close-at-hello, close-after-flight")
	flags.StringVar(&o.request, "request", "ping\nCLOSE\n", "what a client sends")
	flags.BoolVar(&o.require, "require", false, "clients need a certificate")
	flags.IntVar(&o.rounds, "rounds", 1, "connections, one after the other")
	flags.Parse(os.Args[2:])
	if os.Args[1] == "serve" {
		serve(o)
	} else {
		connect(o)
	}
}

func configuration(o options) *tls.Config {
	config := &tls.Config{ServerName: o.name}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		fatal(err)
		config.Certificates = []tls.Certificate{pair}
		// Presented whatever the server says it accepts: whether it is refused is what the tests ask.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		fatal(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		config.RootCAs, config.ClientCAs = pool, pool
	}
	if o.alpn != "" {
		config.NextProtos = strings.Split(o.alpn, ",")
	}
	if o.require {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	switch o.version {
	case "1.1":
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	case "1.2":
		config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	}
	return config
}

func serve(o options) {
	config := configuration(o)
	if o.behave == "close-at-hello" {
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			hello.Conn.Close()
			return nil, nil
		}
	}
	listener, err := net.Listen("tcp", o.address)
	fatal(err)
	say(event{"event": "listening", "port": listener.Addr().(*net.TCPAddr).Port})
	for {
		raw, err := listener.Accept()
		fatal(err)
		raw.SetDeadline(time.Now().Add(limit))
		if o.behave == "close-after-flight" {
			raw = &closing{Conn: raw}
		}
		go answer(tls.Server(raw, config), o)
	}
}

// A connection that ends with the first thing written to it.
type closing struct{ net.Conn }

func (c *closing) Write(bytes []byte) (int, error) {
	n, err := c.Conn.Write(bytes)
	c.Conn.Close()
	return n, err
}

func answer(conn *tls.Conn, o options) {
	defer conn.NetConn().Close()
	if err := conn.Handshake(); err != nil {
		failed(err)
		return
	}
	shake(conn)
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			failed(err)
			return
		}
		if line == "CLOSE\n" {
			break
		}
		if path, isHTTP := strings.CutPrefix(line, "GET /"); isHTTP {
			for line != "\r\n" && err == nil {
				line, err = lines.ReadString('\n')
			}
			body := reversed(strings.Fields(path)[0])
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s", len(body), body)
			break
		}
		fmt.Fprintf(conn, "%s\n", reversed(strings.TrimSuffix(line, "\n")))
		if o.behave == "truncate" {
			return
		}
	}
	conn.Close()
}

func connect(o options) {
	config := configuration(o)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for i := 0; i < o.rounds; i++ {
		fetch(config, o)
	}
}

func fetch(config *tls.Config, o options) {
	raw, err := net.Dial("tcp", o.address)
	fatal(err)
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(limit))
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		failed(err)
		return
	}
	shake(conn)
	fmt.Fprint(conn, o.request)
	body, err := io.ReadAll(conn)
	if err != nil {
		failed(err)
		return
	}
	say(event{"event": "end", "body": string(body)})
}

func shake(conn *tls.Conn) {
	state := conn.ConnectionState()
	chain := []string{}
	for _, certificate := range state.PeerCertificates {
		sum := sha256.Sum256(certificate.Raw)
		chain = append(chain, hex.EncodeToString(sum[:]))
	}
	say(event{
		"event": "handshake", "version": state.Version, "suite": state.CipherSuite, "group": int(state.CurveID),
		"alpn": state.NegotiatedProtocol, "name": state.ServerName, "reused": state.DidResume, "chain": chain,
	})
}

// A received alert is an unexported number inside a net.OpError that is called "remote error".
func failed(err error) {
	told := event{"event": "error", "error": err.Error()}
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "remote error" {
		told["alert"] = reflect.ValueOf(operation.Err).Uint()
	}
	say(told)
}

func reversed(text string) string {
	bytes := []byte(text)
	for i, j := 0, len(bytes)-1; i < j; i, j = i+1, j-1 {
		bytes[i], bytes[j] = bytes[j], bytes[i]
	}
	return string(bytes)
}

func say(told event) {
	line, _ := json.Marshal(told)
	os.Stdout.Write(append(line, '\n'))
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
