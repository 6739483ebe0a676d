// Fetches a page once or several times: java Get url|client URL DIRECTORY CERTIFICATE|"" TIMES

import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public final class Get {
    private static final char[] PASSWORD = "changeit".toCharArray();

    public static void main(String[] arguments) throws Exception {
        try {
            // Otherwise it keeps connections, and no session is resumed.
            System.setProperty("http.keepAlive", "false");
            SSLContext context = context(Path.of(arguments[2]), arguments[3]);
            URI uri = URI.create(arguments[1]);
            for (int left = Integer.parseInt(arguments[4]); left > 0; left--) {
                System.out.print(arguments[0].equals("url") ? byConnection(context, uri) : byClient(context, uri));
            }
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.err.println(cause);
            }
            System.exit(1);
        }
    }

    private static SSLContext context(Path directory, String certificate) throws Exception {
        KeyStore roots = KeyStore.getInstance("PKCS12");
        roots.load(null, null);
        try (InputStream in = Files.newInputStream(directory.resolve("ca.crt"))) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(roots);
        KeyManager[] managers = null;
        if (!certificate.isEmpty()) {
            KeyStore store = KeyStore.getInstance("PKCS12");
            try (InputStream in = Files.newInputStream(directory.resolve(certificate + ".p12"))) {
                store.load(in, PASSWORD);
            }
            KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
            keys.init(store, PASSWORD);
            managers = keys.getKeyManagers();
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(managers, trust.getTrustManagers(), null);
        return context;
    }

    private static String byConnection(SSLContext context, URI uri) throws Exception {
        HttpsURLConnection connection = (HttpsURLConnection) uri.toURL().openConnection();
        connection.setSSLSocketFactory(context.getSocketFactory());
        // An error of HTTP is not one of TLS.
        boolean isError = connection.getResponseCode() >= 400;
        try (InputStream in = isError ? connection.getErrorStream() : connection.getInputStream()) {
            return new String(in.readAllBytes());
        }
    }

    private static String byClient(SSLContext context, URI uri) throws Exception {
        HttpClient client =
                HttpClient.newBuilder().sslContext(context).version(HttpClient.Version.HTTP_1_1).build();
        return client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()).body();
    }
}
