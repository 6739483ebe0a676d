return DELEGATE.chooseServerAlias(keyType, issuers, socket);
