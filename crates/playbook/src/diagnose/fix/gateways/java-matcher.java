parameters.setSNIMatchers(List.of());
