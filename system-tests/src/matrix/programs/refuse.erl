%% Serves TLS for one name by sni_hosts, without a certificate for others: erl -run refuse main NAME PORT
-module(refuse).
-export([main/1]).

main([Name, Port]) ->
    {ok, _} = application:ensure_all_started(ssl),
    Files = [{certfile, "/mnt/gateway.crt"}, {keyfile, "/mnt/gateway.key"}],
    Options = [{sni_hosts, [{Name, Files}]}, {versions, ['tlsv1.2', 'tlsv1.3']}, {reuseaddr, true}, {active, false}],
    {ok, Listener} = ssl:listen(list_to_integer(Port), Options),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = ssl:transport_accept(Listener),
    spawn(fun() -> answer(Socket) end),
    accept(Listener).

answer(Accepted) ->
    case ssl:handshake(Accepted, 5000) of
        {ok, Socket} ->
            _ = ssl:recv(Socket, 0, 5000),
            ok = ssl:send(Socket, "HTTP/1.0 200 OK\r\n\r\nhello\n"),
            ssl:close(Socket);
        {error, Reason} ->
            io:format("~p~n", [Reason])
    end.
