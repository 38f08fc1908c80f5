package postgres

import (
	"strconv"

	"github.com/incidentkit/incident"
)

// The list of projects with conditions is merged in steps. If each project were read until it
// filled the page by itself, a project without a match would be read to its end.
//
//  1. A step reads some of the next places of each part, by the indexes alone. The parts are the
//     projects, and the incidents that affect no project.
//  2. The edge is the first of the last places of those parts that may have more. Up to the edge
//     the step has the places of all parts.
//  3. The incidents of these places are checked by the conditions.
//  4. Unless the page is full, or no part has more, the next step begins at the edge. Steps double
//     in size. Each part gets its share of the places up to now, and twice the square root of the
//     share: if the parts take turns at random, this is nearly always enough to reach the end of the
//     step. With less, the unluckiest of many parts would end each step early. A part whose turn has
//     just come gets four times as many as it had. A part that was read to its end gets nothing.

const (
	// maxStep is the most places of a part in a step. The planner expects a tenth of it.
	maxStep = 512

	// leastStep is the least places of a part in the first step, and leastNext in the next: reading
	// them takes as long as finding the first.
	leastStep, leastNext = 8, 16

	// maxStepOfAll is the most places that a step should have of all parts together.
	maxStepOfAll = 4096
)

// edgeKey is the place where a step begins.
type edgeKey struct{}

func (edgeKey) addTo(l *listing, operator string) {
	l.add(" AND (date_started, identifier) " + operator + " (b.started, b.identifier)")
}

// addProjectSteps adds the places of the first incidents of the projects that meet the
// conditions, in no order.
func (l *listing) addProjectSteps(projects []incident.ProjectID) {
	begin, after, before, upTo := l.before, bound(l.after), bound(edgeKey{}), ">="
	if l.Reverse {
		begin, after, before, upTo = l.after, edgeKey{}, l.before, "<="
	}
	wanted := l.parameter(idArray(projects))
	first := min(max(3*l.Limit/(len(projects)+1), leastStep), maxStep)
	l.add(`
	WITH RECURSIVE`)
	if l.start != 0 {
		l.add(` since AS MATERIALIZED (
		SELECT `+earliestInWindow+` AS started
	),`, l.start)
	}
	l.add(` step AS (
		SELECT ?::timestamptz AS started, ?::bigint AS identifier,
			array_fill(?::bigint, ARRAY[1 + cardinality(?::text[])]) AS sizes, array_fill(0::bigint, ARRAY[1 + cardinality(?::text[])]) AS totals,
			?::bigint AS target, true AS more, 0::bigint AS found, NULL::timestamptz[] AS starts, NULL::bigint[] AS identifiers
		UNION ALL
		SELECT next.*
		FROM step b
		CROSS JOIN LATERAL (
			WITH part AS MATERIALIZED (`, begin.started, begin.identifier, int64(first), wanted, wanted, int64(min(3*l.Limit, maxStepOfAll)))
	l.addStepParts(wanted, after, before)
	l.addStepPassed(upTo)
	l.addChecked("")
	l.add(`
		) next
		WHERE b.more AND b.found < (SELECT ?::bigint)
	)
	SELECT place.*
	FROM step, unnest(starts, identifiers) AS place (date_started, identifier)`, l.limit)
}

// addStepParts adds a row for each part, with the places of a step. The part without a project
// has the incidents that affect none.
func (l *listing) addStepParts(wanted reference, after, before bound) {
	l.add(`
				SELECT wanted.n, wanted.size, wanted.total, found.starts, found.identifiers
				FROM unnest((SELECT ?::text[]), b.sizes, b.totals) WITH ORDINALITY AS wanted (project, size, total, n)
				CROSS JOIN LATERAL (
					SELECT array_agg(date_started) AS starts, array_agg(identifier) AS identifiers
					FROM (
						(
	SELECT date_started, identifier
	FROM @incident_project
	WHERE organization_id = $1 AND project_id = wanted.project`, wanted)
	l.addBetween(after, before)
	if l.start != 0 {
		l.add(" AND date_started >= (SELECT started FROM since)")
	}
	l.addStepOrder()
	l.add(`
						) UNION ALL (
	SELECT date_started, identifier
	FROM @incident
	WHERE organization_id = $1 AND projects = '{}' AND wanted.project IS NULL AND (SELECT ?::boolean)`, len(l.Projects) == 0)
	l.addBetween(after, before)
	l.addStepOrder()
	l.add(`
						)
						LIMIT wanted.size
					) first
				) found`)
}

// addStepPassed adds the edge, the places of each part up to it, and the row of the step with the
// sizes of the next.
func (l *listing) addStepPassed(upTo string) {
	l.add(`
			), edge AS MATERIALIZED (
				SELECT starts[size] AS started, identifiers[size] AS identifier
				FROM part
				WHERE cardinality(starts) = size
				ORDER BY started ` + l.direction + `, identifier ` + l.direction + `
				LIMIT 1
			), passed AS MATERIALIZED (
				SELECT part.n, places.starts, places.identifiers, places.number, part.total + places.number AS total,
					b.target::float8 * (part.total + places.number) / greatest(sum(part.total + places.number) OVER (), 1) AS share,
					part.size = 0 OR places.number < part.size AND places.number = coalesce(cardinality(part.starts), 0) AS ended
				FROM part
				CROSS JOIN LATERAL (
					SELECT array_agg(date_started) AS starts, array_agg(identifier) AS identifiers, count(*) AS number
					FROM unnest(starts, identifiers) AS place (date_started, identifier)
					WHERE NOT EXISTS (SELECT FROM edge)
						OR (place.date_started, place.identifier) ` + upTo + ` (SELECT started, identifier FROM edge)
				) places
			)
			SELECT (SELECT started FROM edge), (SELECT identifier FROM edge), (
				SELECT array_agg(CASE WHEN ended THEN 0
					ELSE least(greatest(share + 2 * sqrt(share), 4 * number, ` + strconv.Itoa(leastNext) + `), ` + strconv.Itoa(maxStep) + `)::bigint END ORDER BY n)
				FROM passed
			), (
				SELECT array_agg(total ORDER BY n)
				FROM passed
			), least(2 * b.target, ` + strconv.Itoa(maxStepOfAll) + `), EXISTS (SELECT FROM edge), b.found + count(*),
				array_agg(p.date_started), array_agg(p.identifier)
			FROM (
				SELECT DISTINCT place.*
				FROM passed, unnest(starts, identifiers) AS place (date_started, identifier)
			) p`)
}

func (l *listing) addStepOrder() {
	l.add(`
	ORDER BY date_started ` + l.direction + `, identifier ` + l.direction + `
	LIMIT ` + strconv.Itoa(maxStep))
}
