package postgres

import (
	"regexp"
	"strings"
)

// A database that spreads the tables over several servers, as Citus does, passes on what
// one of them has refused, but not all fields of it: the name of a violated constraint may
// be in the message alone, with the number of the shard behind it, and the SQLSTATE may be
// that of an internal error. The messages are understood in English only; in another
// language such a refusal is an error where it would otherwise be repeated.

const internalError = "XX000"

// shardNumber is what the name of a constraint ends with on a shard.
var shardNumber = regexp.MustCompile(`_[0-9]+$`)

// quoted is a name in a message of the server.
var quoted = regexp.MustCompile(`"([^"]+)"`)

// violates reports whether the error is about the constraint.
func (e serverError) violates(constraint string) bool {
	if e.constraint != "" {
		return withoutShard(e.constraint) == constraint
	}
	for _, name := range quoted.FindAllStringSubmatch(e.message, -1) {
		if withoutShard(name[1]) == constraint {
			return true
		}
	}
	return false
}

func withoutShard(name string) string { return shardNumber.ReplaceAllString(name, "") }

// isDuplicateKey reports whether the error is a duplicate key, which others have written.
func (e serverError) isDuplicateKey() bool {
	return e.state == uniqueViolation ||
		e.state == internalError && strings.HasPrefix(e.message, "duplicate key value violates unique constraint")
}
