package postgres

import (
	"regexp"
	"strings"
)

// A database that spreads the tables over several servers, such as Citus, does not pass on
// all fields of a server's error. The name of a violated constraint may appear in the
// message only, followed by the number of the shard, and the SQLSTATE may be that of an
// internal error. These messages are recognized in English only. In another language the
// call fails where it would otherwise be repeated.

const internalError = "XX000"

// commitsOfCitus are the routines of Citus that report the loss of a server as an internal error, also
// during a commit there. The second does so after a commit that may have succeeded.
var commitsOfCitus = map[string]bool{"ReportResultError": true, "ErrorIfPostCommitFailedShardPlacements": true}

// endOfCitus is the message of the coordinator, an internal error, when it is killed while it waits for
// the answer of a worker. The worker may have committed the statement.
const endOfCitus = "postmaster was shut down, exiting"

// shardNumber matches the suffix of a constraint's name on a shard.
var shardNumber = regexp.MustCompile(`_[0-9]+$`)

// quoted matches a name in a message of the server.
var quoted = regexp.MustCompile(`"([^"]+)"`)

// violates reports whether the error is a violation of the constraint.
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

// isDuplicateKey reports whether the error is a duplicate key: another writer was first.
func (e serverError) isDuplicateKey() bool {
	return e.state == uniqueViolation ||
		e.state == internalError && strings.HasPrefix(e.message, "duplicate key value violates unique constraint")
}

// isOfGoneShard reports whether a server was about to use a shard that has moved or was divided in the
// meantime. It looks for the shard before it changes anything.
func (e serverError) isOfGoneShard() bool {
	return e.state == internalError && strings.HasPrefix(e.message, "could not find valid entry for shard")
}
