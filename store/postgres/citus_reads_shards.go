package postgres

import (
	"cmp"
	"slices"
)

// shardReads are reads in the order of their shards.
type shardReads[K any] []shardRead[K]

type shardRead[K any] struct {
	shard  int64
	member int // of the lane
	key    K
}

// inShards returns the members in the order of their shards. The server need not find the shards: the store has them
// from the list, and the call counts for nothing if they are no longer there.
func (r *reads[K, V]) inShards(s *Store, ln *readLane[K, V]) (shardReads[K], error) {
	routes := s.citus.known.routes.Load()
	if routes == nil {
		return nil, errMoved
	}
	all := make(shardReads[K], len(ln.members))
	first := routes.of(string(r.org(ln.members[0].key)))
	for i, m := range ln.members {
		route := routes.of(string(r.org(m.key)))
		if !route.isShared() || route.group != first.group {
			return nil, errMoved
		}
		all[i] = shardRead[K]{shard: route.shard, member: i, key: m.key}
	}
	slices.SortFunc(all, func(a, b shardRead[K]) int { return cmp.Compare(a.shard, b.shard) })
	return all, nil
}

// next cuts off the reads of the next statement: two if they are of the same shard.
func (all shardReads[K]) next() (next, rest shardReads[K]) {
	n := 1
	if len(all) > 1 && all[0].shard == all[1].shard {
		n = 2
	}
	return all[:n], all[n:]
}

// divide divides the reads into those that go alone, and pairs.
func (all shardReads[K]) divide() (lone, paired shardReads[K]) {
	for len(all) > 0 {
		var of shardReads[K]
		if of, all = all.next(); len(of) == 1 {
			lone = append(lone, of...)
		} else {
			paired = append(paired, of...)
		}
	}
	return lone, paired
}

// keys returns the keys.
func (all shardReads[K]) keys() []K {
	keys := make([]K, len(all))
	for i, read := range all {
		keys[i] = read.key
	}
	return keys
}

// executeArgs returns the arguments of citusExecuteSQL.
func (r *reads[K, V]) executeArgs(s *Store, all shardReads[K]) ([]any, error) {
	var texts [2]*delegated // for one read and for two
	var failure error
	commands, shards, space := make([]byte, 0, 1024), make([]int64, 0, len(all)), make([]any, 0, 10)
	for number, rest := 1, all; len(rest) > 0; {
		var of shardReads[K]
		of, rest = rest.next()
		text := &texts[len(of)-1]
		if *text == nil {
			*text = r.shared(s, of.keys()...).sqlText().delegated
		}
		commands = append((*text).appendPrepared(append(commands, "EXECUTE "...), of[0].shard), '(')
		var err error
		commands, err = r.appendArgs(commands, space, number, of)
		failure = cmp.Or(failure, err)
		commands = append(commands, ");"...)
		shards = append(shards, of[0].shard)
		number += len(of)
	}
	shards = slices.Compact(shards)
	return []any{string(commands), new(arrayWriter).numbers(len(shards), func(i int) int64 { return shards[i] })}, failure
}

// appendArgs appends the arguments of a statement as literals. number is that of its first read. The arguments take
// the space.
func (r *reads[K, V]) appendArgs(to []byte, space []any, number int, of shardReads[K]) ([]byte, error) {
	args := space[:0]
	for i, read := range of {
		args = r.appendNumbered(args, number+i, read.key)
	}
	return appendLiterals(to, args)
}
