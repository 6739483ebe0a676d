/* A client with wolfSSL's default configuration: wolfssl HOST PORT [1.2]. It sends SNI if HOST is a name. */

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct in_addr address;
    int plain;

    if (count < 3) {
        return puts(wolfSSL_lib_version()) < 0;
    }
    wolfSSL_Init();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(count > 3 ? wolfTLSv1_2_client_method() : wolfTLS_client_method());
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    WOLFSSL *ssl = wolfSSL_new(context);
    if (inet_pton(AF_INET, words[1], &address) != 1) {
        wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, words[1], strlen(words[1]));
    }
    if (getaddrinfo(words[1], words[2], &hints, &found) != 0) {
        return 1;
    }
    plain = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(plain, found->ai_addr, found->ai_addrlen) != 0) {
        return 1;
    }
    wolfSSL_set_fd(ssl, plain);
    return wolfSSL_connect(ssl) != WOLFSSL_SUCCESS;
}
