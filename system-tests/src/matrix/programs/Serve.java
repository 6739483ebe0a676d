// Serves a page over TLS on several ports: java Serve DIRECTORY PORT:CERTIFICATE:PROTOCOL:need|none:SELECTION...
// SELECTION says what decides by the hello's name: no ("-"), "matcher" (an SNIMatcher) or "keys" (a key manager).

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.List;
import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SNIServerName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;

public final class Serve {
    private static final char[] PASSWORD = "changeit".toCharArray();
    private static final String NAME = "api-test.mydomain.com";

    public static void main(String[] arguments) throws Exception {
        Path directory = Path.of(arguments[0]);
        for (int i = 1; i < arguments.length; i++) {
            SSLServerSocket listener = listen(directory, arguments[i].split(":"));
            new Thread(() -> accept(listener)).start();
        }
    }

    private static SSLServerSocket listen(Path directory, String[] words) throws Exception {
        KeyStore roots = KeyStore.getInstance("PKCS12");
        roots.load(null, null);
        try (InputStream in = Files.newInputStream(directory.resolve("ca.crt"))) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(roots);
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(directory.resolve(words[1] + ".p12"))) {
            store.load(in, PASSWORD);
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(store, PASSWORD);
        KeyManager[] managers = keys.getKeyManagers();
        if (words[4].equals("keys")) {
            managers = new KeyManager[] {new KeysByName((X509ExtendedKeyManager) managers[0])};
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(managers, trust.getTrustManagers(), null);
        int port = Integer.parseInt(words[0]);
        SSLServerSocket listener = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(port);
        listener.setEnabledProtocols(words[2].split("\\+"));
        listener.setNeedClientAuth(words[3].equals("need"));
        if (words[4].equals("matcher")) {
            SSLParameters parameters = listener.getSSLParameters();
            parameters.setSNIMatchers(List.of(SNIHostName.createSNIMatcher(NAME.replace(".", "\\."))));
            listener.setSSLParameters(parameters);
        }
        return listener;
    }

    private static void accept(SSLServerSocket listener) {
        while (true) {
            try {
                SSLSocket socket = (SSLSocket) listener.accept();
                new Thread(() -> answer(socket)).start();
            } catch (IOException error) {
                System.err.println(error);
            }
        }
    }

    private static void answer(SSLSocket socket) {
        try (socket) {
            socket.setSoTimeout(10_000);
            socket.startHandshake();
            BufferedReader reader = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            String line;
            do {
                line = reader.readLine();
            } while (line != null && !line.isEmpty());
            if (line != null) {
                String head = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n";
                socket.getOutputStream().write((head + "hello\n").getBytes());
            }
        } catch (IOException error) {
            System.err.println(error);
        }
    }

    /** Has a key for one name only. */
    private static final class KeysByName extends X509ExtendedKeyManager {
        private final X509ExtendedKeyManager keys;

        KeysByName(X509ExtendedKeyManager keys) {
            this.keys = keys;
        }

        @Override
        public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
            ExtendedSSLSession session = (ExtendedSSLSession) ((SSLSocket) socket).getHandshakeSession();
            for (SNIServerName name : session.getRequestedServerNames()) {
                if (NAME.equals(new String(name.getEncoded()))) {
                    return keys.chooseServerAlias(keyType, issuers, socket);
                }
            }
            return null;
        }

        @Override
        public X509Certificate[] getCertificateChain(String alias) {
            return keys.getCertificateChain(alias);
        }

        @Override
        public PrivateKey getPrivateKey(String alias) {
            return keys.getPrivateKey(alias);
        }

        @Override
        public String[] getServerAliases(String type, Principal[] issuers) {
            return keys.getServerAliases(type, issuers);
        }

        @Override
        public String[] getClientAliases(String type, Principal[] issuers) {
            return null;
        }

        @Override
        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            return null;
        }
    }
}
