// Java's three ways to speak TLS, none of which sends SNI for an IP address:
// java Fetch.java socket|url|client HOST PORT

import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.cert.X509Certificate;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public final class Fetch {
    public static void main(String[] arguments) throws Exception {
        String host = arguments[1];
        int port = Integer.parseInt(arguments[2]);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {new TrustAll()}, null);
        URI uri = URI.create("https://" + host + ":" + port + "/");
        switch (arguments[0]) {
            case "socket":
                try (SSLSocket socket = (SSLSocket)
                        context.getSocketFactory().createSocket(InetAddress.getByName(host), port)) {
                    socket.startHandshake();
                }
                break;
            case "url":
                HttpsURLConnection connection = (HttpsURLConnection) uri.toURL().openConnection();
                connection.setSSLSocketFactory(context.getSocketFactory());
                connection.setHostnameVerifier((name, session) -> true);
                connection.getInputStream().close();
                break;
            default:
                HttpClient client = HttpClient.newBuilder().sslContext(context).build();
                client.send(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.discarding());
        }
    }

    private static final class TrustAll implements X509TrustManager {
        @Override
        public void checkClientTrusted(X509Certificate[] chain, String type) {}

        @Override
        public void checkServerTrusted(X509Certificate[] chain, String type) {}

        @Override
        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
