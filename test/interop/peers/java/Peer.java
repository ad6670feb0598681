import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

/**
 * A peer that is Java's own TLS: `java Peer serve NAME=VALUE…` (an SSLServerSocket that answers lines backwards until CLOSE) or
 * `java Peer connect NAME=VALUE…` (an HttpsURLConnection). What happens is told as one JSON object a line.
 */
public final class Peer {
  private static final int LIMIT_MS = 10_000;

  private static final Map<String, Integer> ALERTS = Map.ofEntries(
      Map.entry("handshake_failure", 40), Map.entry("bad_certificate", 42), Map.entry("unsupported_certificate", 43),
      Map.entry("certificate_revoked", 44), Map.entry("certificate_expired", 45), Map.entry("certificate_unknown", 46),
      Map.entry("illegal_parameter", 47), Map.entry("unknown_ca", 48), Map.entry("access_denied", 49),
      Map.entry("protocol_version", 70), Map.entry("internal_error", 80), Map.entry("unrecognized_name", 112),
      Map.entry("certificate_required", 116), Map.entry("no_application_protocol", 120));

  public static void main(String[] args) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 1; i < args.length; i++) {
      int at = args[i].indexOf('=');
      options.put(args[i].substring(0, at), args[i].substring(at + 1));
    }
    if ("TLSv1.1".equals(options.get("version"))) Security.setProperty("jdk.tls.disabledAlgorithms", "");
    if (args[0].equals("serve")) serve(options);
    else connect(options);
  }

  private static void serve(Map<String, String> options) throws Exception {
    SSLContext context = context(options);
    try (SSLServerSocket listener =
        (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
      if (options.containsKey("version")) listener.setEnabledProtocols(new String[] {options.get("version")});
      listener.setNeedClientAuth(options.containsKey("require"));
      if (options.containsKey("alpn")) {
        SSLParameters parameters = listener.getSSLParameters();
        parameters.setApplicationProtocols(options.get("alpn").split(","));
        listener.setSSLParameters(parameters);
      }
      say("\"event\":\"listening\",\"port\":" + listener.getLocalPort());
      while (true) {
        SSLSocket socket = (SSLSocket) listener.accept();
        new Thread(() -> answer(socket)).start();
      }
    }
  }

  private static void answer(SSLSocket socket) {
    try (socket) {
      socket.setSoTimeout(LIMIT_MS);
      socket.startHandshake();
      tell(socket.getSession(), socket.getApplicationProtocol());
      BufferedReader lines = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
      OutputStream out = socket.getOutputStream();
      for (String line = lines.readLine(); line != null && !line.equals("CLOSE"); line = lines.readLine())
        out.write((new StringBuilder(line).reverse() + "\n").getBytes(StandardCharsets.US_ASCII));
    } catch (IOException error) {
      failed(error);
    }
  }

  private static void connect(Map<String, String> options) throws Exception {
    SSLContext context = context(options);
    try {
      URL url = new URL("https://" + options.get("name") + ":" + options.get("port") + "/" + options.getOrDefault("path", "ping"));
      HttpsURLConnection connection = (HttpsURLConnection) url.openConnection();
      connection.setSSLSocketFactory(context.getSocketFactory());
      connection.setConnectTimeout(LIMIT_MS);
      connection.setReadTimeout(LIMIT_MS);
      connection.setRequestProperty("connection", "close");
      connection.connect();
      tell(connection.getSSLSession().orElseThrow(), null);
      try (InputStream in = connection.getInputStream()) {
        say("\"event\":\"end\",\"body\":" + quoted(new String(in.readAllBytes(), StandardCharsets.US_ASCII)));
      }
    } catch (IOException error) {
      failed(error);
    }
  }

  private static SSLContext context(Map<String, String> options) throws Exception {
    KeyManagerFactory keys = null;
    if (options.containsKey("cert")) {
      KeyStore store = empty();
      Certificate[] chain = certificates(options.get("cert"));
      store.setKeyEntry("own", key(options.get("key"), chain[0].getPublicKey().getAlgorithm()), new char[0], chain);
      keys = KeyManagerFactory.getInstance("PKIX");
      keys.init(store, new char[0]);
    }
    TrustManagerFactory trust = null;
    if (options.containsKey("ca")) {
      KeyStore store = empty();
      Certificate[] roots = certificates(options.get("ca"));
      for (int i = 0; i < roots.length; i++) store.setCertificateEntry("root" + i, roots[i]);
      trust = TrustManagerFactory.getInstance("PKIX");
      trust.init(store);
    }
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(keys == null ? null : keys.getKeyManagers(), trust == null ? null : trust.getTrustManagers(), null);
    return context;
  }

  private static KeyStore empty() throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    return store;
  }

  private static Certificate[] certificates(String path) throws Exception {
    byte[] pem = Files.readAllBytes(Path.of(path));
    return CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem)).toArray(new Certificate[0]);
  }

  private static PrivateKey key(String path, String algorithm) throws Exception {
    String body = Files.readString(Path.of(path)).replaceAll("-----[A-Z ]+-----|\\s", "");
    return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(body)));
  }

  private static void tell(SSLSession session, String alpn) {
    String chosen = alpn == null || alpn.isEmpty() ? "null" : quoted(alpn);
    say("\"event\":\"handshake\",\"version\":" + quoted(session.getProtocol()) + ",\"suite\":" + quoted(session.getCipherSuite())
        + ",\"alpn\":" + chosen + ",\"reused\":false");
  }

  private static void failed(IOException error) {
    String text = String.valueOf(error.getMessage());
    String name = text.substring(text.lastIndexOf(' ') + 1);
    String alert = text.startsWith("Received fatal alert: ") && ALERTS.containsKey(name) ? ",\"alert\":" + ALERTS.get(name) : "";
    say("\"event\":\"error\",\"error\":" + quoted(text) + alert);
  }

  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("[\\r\\n]", "\\\\n") + '"';
  }

  private static synchronized void say(String fields) {
    System.out.println("{" + fields + "}");
  }
}
