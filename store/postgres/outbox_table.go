package postgres

import "strings"

// outboxTable is one of the two tables of the outbox, with the statements about it.
//
// Libraries of schema versions 1 and 2 queue, claim and settle in incident_outbox, so that it
// has only activities for the notifier without a name. All else is in incident_queue: the
// activities for notifiers with a name, and the reminders for all notifiers.
//
// The statements about both tables are made from the same templates. $2 is the notifier.
type outboxTable struct {
	claim, claimDue      string
	probe, probed        string // see claimOnNodes
	settle, stillClaimed string
	hasNames             bool // of notifiers and reminders
}

var (
	unnamedTable = newOutboxTable(false, unnamedParts)
	namedTable   = newOutboxTable(true, namedParts)
)

func newOutboxTable(hasNames bool, parts []string) *outboxTable {
	r := strings.NewReplacer(parts...)
	return &outboxTable{
		claim: r.Replace(claimSQL), claimDue: r.Replace(claimDueSQL),
		probe:  strings.ReplaceAll(r.Replace(claimSQL), "FOR UPDATE SKIP LOCKED", ""),
		settle: r.Replace(settleSQL), stillClaimed: r.Replace(stillClaimedSQL),
		probed: r.Replace(probedSQL), hasNames: hasNames,
	}
}

// unnamedParts replace the names in braces of the templates.
var unnamedParts = []string{
	"{table}", "@incident_outbox",
	"{of}", "",
	"{key}", "organization_id, identifier, replayed",
	"{d.key}", "d.organization_id, d.identifier, d.replayed",
	"{r.key}", "r.organization_id, r.identifier, r.replayed",
	"{m.key}", "m.organization_id, m.identifier, m.sequence",
	"{o.key}", "o.organization_id, o.identifier, o.replayed",
	"{d=m}", "d.organization_id = m.organization_id AND d.identifier = m.identifier AND d.replayed = m.replayed",
	"{o=d}", "o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.replayed = d.replayed",
	"{o=m}", "o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.replayed = m.replayed",
	"{o=s}", "o.organization_id = s.organization_id AND o.identifier = s.identifier AND o.replayed = s.replayed",
	"{others}", othersSQL,
	"{reminder}", "",
	"{c.reminder}", "",
	"{m.reminder}", "",
	"{o.reminder}", "",
	"{names}", "",
	"{name arrays}", "",
	"{parked twice}", "",
}

// namedParts are the parts of the table with names.
var namedParts = []string{
	"{table}", "@incident_queue",
	"{of}", "notifier = $2::text AND ",
	"{key}", "organization_id, identifier, notifier, reminder, replayed",
	"{d.key}", "d.organization_id, d.identifier, d.notifier, d.reminder, d.replayed",
	"{r.key}", "r.organization_id, r.identifier, r.notifier, r.reminder, r.replayed",
	"{m.key}", "m.organization_id, m.identifier, m.notifier, m.reminder, m.sequence",
	"{o.key}", "o.organization_id, o.identifier, o.notifier, o.reminder, o.replayed",
	"{d=m}", `d.organization_id = m.organization_id AND d.identifier = m.identifier AND d.notifier = m.notifier
			AND d.reminder = m.reminder AND d.replayed = m.replayed`,
	"{o=d}", `o.organization_id = d.organization_id AND o.identifier = d.identifier AND o.notifier = d.notifier
		AND o.reminder = d.reminder AND o.replayed = d.replayed`,
	"{o=m}", `o.organization_id = m.organization_id AND o.identifier = m.identifier AND o.notifier = m.notifier
		AND o.reminder = m.reminder AND o.replayed = m.replayed`,
	"{o=s}", `o.organization_id = s.organization_id AND o.identifier = s.identifier AND o.notifier = s.notifier
		AND o.reminder = s.reminder AND o.replayed = s.replayed`,
	"{others}", "false",
	"{reminder}", ", unless, status, notification_uuid",
	"{c.reminder}", ", c.reminder, c.unless, c.status, c.notification_uuid",
	"{m.reminder}", ", m.unless, m.status, m.notification_uuid",
	"{o.reminder}", ", o.unless, o.status, o.notification_uuid",
	"{names}", ", notifier, reminder",
	"{name arrays}", ", ?::text[], ?::text[]",
	"{parked twice}", parkedTwiceSQL,
}

// othersSQL reports whether a reminder for the notifier without a name is due. It reads the
// first entry of an index, however many reminders there are.
const othersSQL = `coalesce((
		SELECT due
		FROM @incident_queue
		WHERE notifier = '' AND due < 'infinity'
		ORDER BY due
		LIMIT 1
	) <= now(), false)`

// parkedTwiceSQL replaces a parked reminder of the same name and time: the host may have set
// it again.
const parkedTwiceSQL = `
	ON CONFLICT (organization_id, identifier, notifier, reminder, replayed) DO UPDATE
	SET due = EXCLUDED.due, ready = false, since = EXCLUDED.since, fence = greatest(o.fence, EXCLUDED.fence) + 1,
		attempts = EXCLUDED.attempts, error = EXCLUDED.error, unless = EXCLUDED.unless, status = EXCLUDED.status,
		notification_uuid = EXCLUDED.notification_uuid`
