%% The peer of edit_to_live: how long c:nl/1 takes until every connected node answers with the new code.
%% Started by erlang_nl.sh as the driver node; the other nodes are empty ones on the same machine.
-module(nl_peer).
-export([main/3]).

main(Count, Rounds, Bytes) ->
    Nodes = [list_to_atom("peer" ++ integer_to_list(I) ++ "@127.0.0.1") || I <- lists:seq(1, Count)],
    lists:foreach(fun(Node) -> connect(Node, 200) end, Nodes),
    Times = lists:sort([round_trip(Version, Bytes, Nodes) || Version <- lists:seq(1, Rounds)]),
    At = fun(Part) -> lists:nth(max(1, min(Rounds, ceil(Rounds * Part))), Times) end,
    io:format("~p ~p ~p~n", [At(0.5), At(0.99), lists:last(Times)]),
    lists:foreach(fun(Node) -> rpc:cast(Node, erlang, halt, [0]) end, Nodes),
    timer:sleep(200),
    erlang:halt(0).

connect(Node, 0) -> io:format(standard_error, "node ~p does not answer~n", [Node]), erlang:halt(1);
connect(Node, Left) ->
    case net_adm:ping(Node) of
        pong -> ok;
        pang -> timer:sleep(50), connect(Node, Left - 1)
    end.

%% Compiling is not counted, as moddev's time begins when the linker has closed its output.
round_trip(Version, Bytes, Nodes) ->
    Forms = [{attribute, 1, module, nl_subject},
             {attribute, 1, export, [{answer, 0}, {ballast, 0}]},
             {function, 1, answer, 0, [{clause, 1, [], [], [{integer, 1, Version}]}]},
             {function, 1, ballast, 0, [{clause, 1, [], [], [{string, 1, lists:duplicate(Bytes, $b)}]}]}],
    {ok, nl_subject, Code} = compile:forms(Forms, []),
    ok = file:write_file("nl_subject.beam", Code),
    Begin = erlang:monotonic_time(microsecond),
    c:nl(nl_subject),
    lists:foreach(fun(Node) -> answered(Node, Version) end, Nodes),
    erlang:monotonic_time(microsecond) - Begin.

answered(Node, Version) ->
    case rpc:call(Node, nl_subject, answer, []) of
        Version -> ok;
        _ -> answered(Node, Version)
    end.
