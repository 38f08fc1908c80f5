package statuspage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// good is a page with two incidents. The hostile files change it within the second
// incident, so that the first would be imported.
const good = `{"page": {"id": "p"}, "incidents": [
{"id": "a", "name": "A", "status": "resolved", "impact": "minor", "started_at": "2024-01-01T00:00:00Z", "resolved_at": "2024-01-01T01:00:00Z"},
{"id": "b", "name": "B", "status": "resolved", "impact": "major", "started_at": "2024-01-02T00:00:00Z", "resolved_at": "2024-01-02T01:00:00Z",
 "components": [{"id": "1", "name": "API"}], "incident_updates": [
  {"id": "u", "body": "Over.", "display_at": "2024-01-02T01:00:00Z"},
  {"id": "v", "body": "Begun.", "display_at": "2024-01-02T00:00:00Z"}]}
]}
`

// change returns the good file with old replaced.
func change(old, new string) string {
	if !strings.Contains(good, old) {
		panic("not in the good file: " + old)
	}
	return strings.Replace(good, old, new, 1)
}

// listed returns an incident of a list without a page.
func listed(page string) string {
	return `{"id": "b", "page_id": "` + page + `", "name": "B", "status": "resolved", "impact": "none", "created_at": "2024-01-02T00:00:00Z", "resolved_at": "2024-01-02T01:00:00Z"}`
}

type hostileFile struct {
	name, data, want string // want is the error after the file's name
}

func hostileFiles() []hostileFile {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	var components strings.Builder
	for n := range incident.MaxProjects {
		fmt.Fprintf(&components, `{"name": "c%d"}, `, n)
	}
	date := func(s string) string { return change(`"started_at": "2024-01-02T00:00:00Z"`, `"started_at": `+s) }
	b := func(old, new string) string {
		const head = `"b", "name": "B", "status": "resolved", "impact": "major"`
		return change(head, strings.Replace(head, old, new, 1))
	}
	return []hostileFile{
		// The file as a whole.
		{"empty", "", `1:1: the file is empty`},
		{"blank", " \n\t\r\n", `1:1: the file is empty`},
		{"truncated", good[:500], `6:39: not valid JSON: unexpected end of JSON input`},
		{"truncated at a line", good[:strings.Index(good, "\n")+1], `1:37: not valid JSON: unexpected end of JSON input`},
		{"HTML", "<!doctype html>\n<html>", `1:1: not valid JSON: invalid character '<' looking for beginning of value`},
		{"two byte order marks", "\ufeff\ufeff" + good, `1:1: not valid JSON: invalid character 'ï' looking for beginning of value`},
		{"byte order mark alone", "\ufeff\n", `1:1: the file is empty`},
		{"fault after a byte order mark", "\ufeff{x}", `1:2: not valid JSON: invalid character 'x' looking for beginning of object key string`},
		{"fault after a CR", "{\r\rx}", `3:1: not valid JSON: invalid character 'x' looking for beginning of object key string`},
		{"fault after CR and CRLF", "{\r\r\nx}", `3:1: not valid JSON: invalid character 'x' looking for beginning of object key string`},
		{"trailing garbage", good + "}\n", `8:1: not valid JSON: invalid character '}' after top-level value`},
		{"two documents", good + good, `8:1: not valid JSON: invalid character '{' after top-level value`},
		{"terminal escape outside of strings", "{\x1b[2J", `1:2: not valid JSON: invalid character '\x1b' looking for beginning of object key string`},
		{"control character in a string", change("Begun.", "Be\x1bgun"), `6:26: not valid JSON: invalid character '\x1b' in string literal`},
		{"huge nesting", deep, `1:10001: not valid JSON: invalid character '[' exceeded max depth`},
		{"huge nesting in an unknown field", change(`"page"`, `"x": `+deep+`, "page"`), `1:10006: not valid JSON: invalid character '[' exceeded max depth`},
		{"invalid UTF-8", change("Begun.", "Be\xffgun"), `6:26: not valid UTF-8`},
		{"surrogate in UTF-8", change("Begun.", "\xed\xa0\x80"), `6:24: not valid UTF-8`},
		{"UTF-16", "\xff\xfe{\x00}\x00", `1:1: the file is in UTF-16; convert it to UTF-8`},
		{"UTF-16, most significant byte first", "\xfe\xff\x00{\x00}", `1:1: the file is in UTF-16; convert it to UTF-8`},
		{"lone high surrogate", change("Begun.", `Be\ud83dgun`), `6:26: \ud83d is half a surrogate pair`},
		{"lone low surrogate", change("Begun.", `\\\uDE00`), `6:26: \uDE00 is half a surrogate pair`},
		{"surrogates the wrong way round", change("Begun.", `\ude00\ud83d`), `6:24: \ude00 is half a surrogate pair`},
		{"high surrogate twice", change("Begun.", `\ud83d\ud83d\ude00`), `6:24: \ud83d is half a surrogate pair`},

		// The page and its list.
		{"an empty array", `[]`, `1:1: page_id is required in a list without a page`},
		{"an array without a page", `[{"id": "a"}]`, `1:1: page_id is required in a list without a page`},
		{"an array of arrays", `[[]]`, `1:1: page_id is required in a list without a page`},
		{
			"an array of two pages", `[` + listed("p") + `,` + strings.Replace(listed("q"), `"b"`, `"c"`, 1) + `]`,
			`1:160: incident 2 (id "c"): page_id is "q", and that of the list is "p"`,
		},
		{"a string", ` "x"`, `1:2: the file must be an object, not a string`},
		{"null", "null", `1:1: page.id is required`},
		{"no page", change(`"page"`, `"pages"`), `1:1: page.id is required`},
		{"page is null", change(`{"id": "p"}`, `null`), `1:10: page.id is required`},
		{"page is a string", change(`{"id": "p"}`, `"p"`), `1:10: page must be an object, not a string`},
		{"page id is null", change(`"p"`, `null`), `1:10: page.id is required`},
		{"page id is a number", change(`"p"`, `1e999`), `1:17: id must be a string, not a number`},
		{"page id is a control character", change(`"p"`, `"\u001b[2J"`), `1:10: page.id contains the control character U+001B at byte 0`},
		{"page id is long", change(`"p"`, `"`+strings.Repeat("p", 256)+`"`), `1:10: page.id has 256 bytes, limit 255`},
		{"page twice", change(`"incidents"`, `"page": {}, "incidents"`), `1:23: page appears twice`},
		{"no incidents", `{"page": {"id": "p"}}`, `1:1: incidents is required`},
		{"incidents is null", `{"page": {"id": "p"}, "incidents": null}`, `1:1: incidents is required`},
		{"incidents is an object", `{"page": {"id": "p"}, "incidents": {}}`, `1:36: incidents must be an array, not an object`},

		// An incident.
		{"incident is null", `{"page": {"id": "p"}, "incidents": [null]}`, `1:37: incident 1: id is required`},
		{"incident is a string", `{"page": {"id": "p"}, "incidents": ["x"]}`, `1:37: incident 1: it must be an object, not a string`},
		{"no id", b(`"b", `, `"", `), `3:1: incident 2: id is required`},
		{"id is null", b(`"b"`, `null`), `3:1: incident 2: id is required`},
		{"id is a number", b(`"b"`, `17`), `3:8: incident 2: id must be a string, not a number`},
		{"id twice in the list", b(`"b"`, `"a"`), `3:1: incident 2 (id "a"): an incident before has the same id`},
		{"id twice in an incident", b(`"name"`, `"id": "c", "name"`), `3:13: incident 2 (id "b"): id appears twice`},
		{"terminal escape in the id", b(`"b", "name": "B"`, `"\u001b[2J\u009b", "name": null`), `3:1: incident 2 (id "\x1b[2J\u009b"): name is required`},
		{"long id", b(`"b", "name": "B"`, `"`+strings.Repeat("b", 999)+`"`), `3:1: incident 2 (id "` + strings.Repeat("b", 40) + `"): name is required`},
		{"no name", b(`"name": "B", `, ``), `3:1: incident 2 (id "b"): name is required`},
		{"name is null", b(`"B"`, `null`), `3:1: incident 2 (id "b"): name is required`},
		{"name is an array", b(`"B"`, `[]`), `3:21: incident 2 (id "b"): name must be a string, not an array`},
		{"blank name", b(`"B"`, `" \t\u200b"`), `3:1: incident 2 (id "b"): name must not be blank`},
		{"long name", b(`"B"`, `"`+strings.Repeat("ä", 1001)+`"`), `3:1: incident 2 (id "b"): name has 1001 characters, limit 1000`},
		{"NUL in the name", b(`"B"`, `"B\u0000"`), `3:1: incident 2 (id "b"): name contains NUL at byte 1`},
		{"terminal escape in the name", b(`"B"`, `"\u001b[31mB"`), `3:1: incident 2 (id "b"): name contains the control character U+001B at byte 0`},
		{"eight-bit terminal escape in the name", b(`"B"`, `"\u009b31mB"`), `3:1: incident 2 (id "b"): name contains the control character U+009B at byte 0`},
		{"no status", b(`"resolved"`, `null`), `3:1: incident 2 (id "b"): status is required`},
		{"unknown status", b(`"resolved"`, `"over\u0007"`), `3:1: incident 2 (id "b"): status "over\a" is unknown`},
		{"status is a boolean", b(`"resolved"`, `true`), `3:36: incident 2 (id "b"): status must be a string, not a boolean`},
		{"no impact", b(`, "impact": "major"`, ``), `3:1: incident 2 (id "b"): impact is required`},
		{"unknown impact", b(`"major"`, `"MAJOR"`), `3:1: incident 2 (id "b"): impact "MAJOR" is unknown: want none, minor, major, critical or maintenance`},
		{"no start", strings.Replace(date(`null`), "incident_updates", "x", 1), `3:1: incident 2 (id "b"): started_at is required`},
		{"start is a number", date(`1704153600`), `3:81: incident 2 (id "b"): started_at must be a string, not a number`},
		{"start is empty", date(`""`), `3:81: incident 2 (id "b"): started_at must be a date as in 2006-01-02T15:04:05Z, not ""`},
		{"start is not a date", date(`"yesterday\n"`), `3:81: incident 2 (id "b"): started_at must be a date as in 2006-01-02T15:04:05Z, not "yesterday\n"`},
		{"start has no zone", date(`"2024-01-02T00:00:00"`), `3:81: incident 2 (id "b"): started_at must be a date as in 2006-01-02T15:04:05Z, not "2024-01-02T00:00:00"`},
		{"start on 30 February", date(`"2024-02-30T00:00:00Z"`), `3:81: incident 2 (id "b"): started_at must be a date as in 2006-01-02T15:04:05Z, not "2024-02-30T00:00:00Z"`},
		{"start is the zero time", date(`"0001-01-01T00:00:00Z"`), `3:81: incident 2 (id "b"): started_at must be a date as in 2006-01-02T15:04:05Z, not "0001-01-01T00:00:00Z"`},
		{"start almost the zero time", date(`"0001-01-01T00:00:00.0000001Z"`), `3:1: incident 2 (id "b"): started_at must be in the years 1970 to 9999`},
		{
			"start in the future", strings.NewReplacer("incident_updates", "x", `"resolved", "impact": "major"`, `"monitoring", "impact": "major"`).Replace(date(`"9999-12-31T23:59:59Z"`)),
			`3:1: incident 2 (id "b"): started_at must not be more than 24h0m0s in the future`,
		},
		{
			"no end", strings.Replace(change(`"2024-01-02T01:00:00Z",`, `null,`), "incident_updates", "x", 1),
			`3:1: incident 2 (id "b"): resolved_at is required where status is resolved and no update has a date`,
		},
		{"end in the future", change(`"2024-01-02T01:00:00Z",`, `"9024-01-02T01:00:00Z",`), `3:1: incident 2 (id "b"): resolved_at must not be more than 24h0m0s in the future`},
		{"end before the start", change(`"2024-01-02T01:00:00Z",`, `"2024-01-01T23:59:59Z",`), `3:1: incident 2 (id "b"): resolved_at must not be before the start of the incident, 2024-01-02T00:00:00Z`},

		// Components.
		{"components is an object", change(`[{"id": "1", "name": "API"}]`, `{}`), `4:16: incident 2 (id "b"): components must be an array, not an object`},
		{"101 components", change(`[{"id": "1"`, `[`+components.String()+`{"id": "1"`), `3:1: incident 2 (id "b"): components has 101 entries, limit 100`},
		{"component is a string", change(`{"id": "1", "name": "API"}`, `"API"`), `4:17: incident 2 (id "b"): component 1 must be an object, not a string`},
		{"component without a name", change(`{"id": "1", "name": "API"}`, `{"id": null, "name": ""}`), `4:17: incident 2 (id "b"): component 1: name is required`},
		{"component with a long name", change(`"API"`, `"`+strings.Repeat("A", 256)+`"`), `3:1: incident 2 (id "b"): components entry 1 has 256 bytes, limit 255`},
		{"component of two lines", change(`"API"`, `"A\nB"`), `3:1: incident 2 (id "b"): components entry 1 contains the control character U+000A at byte 1`},

		// Updates.
		{"updates is a string", change(`"incident_updates": [`, `"incident_updates": "", "x": [`), `4:66: incident 2 (id "b"): incident_updates must be an array, not a string`},
		{"update is null", change(`"incident_updates": [`, `"incident_updates": [null,`), `4:67: incident 2 (id "b"): update 1: id is required`},
		{"update without an id", change(`"u"`, `null`), `5:3: incident 2 (id "b"): update 1: id is required`},
		{"update id twice", change(`"v"`, `"u"`), `6:3: incident 2 (id "b"): update 2 (id "u"): an update before has the same id`},
		{"update without a date", change(`"display_at": "2024-01-02T00:00:00Z"`, `"display_at": null`), `6:3: incident 2 (id "b"): update 2 (id "v"): display_at is required`},
		{"update with a bad date", change(`"display_at": "2024-01-02T00:00:00Z"`, `"created_at": "x"`), `6:47: incident 2 (id "b"): update 2 (id "v"): created_at must be a date as in 2006-01-02T15:04:05Z, not "x"`},
		{"update of 1969", change(`"display_at": "2024-01-02T00:00:00Z"`, `"display_at": "1969-12-31T23:59:59Z"`), `6:3: incident 2 (id "b"): update 2 (id "v"): display_at must be in the years 1970 to 9999`},
		{"body is a number", change(`"Begun."`, `-1`), `6:23: incident 2 (id "b"): update 2 (id "v"): body must be a string, not a number`},
		{"no body", change(`"Begun."`, `null`), `6:3: incident 2 (id "b"): update 2 (id "v"): body is required`},
		{"blank body", change(`"Begun."`, `"\r\n"`), `6:3: incident 2 (id "b"): update 2 (id "v"): body must not be blank`},
		{"long body", change(`Begun.`, strings.Repeat("x", 65_537)), `6:3: incident 2 (id "b"): update 2 (id "v"): body has 65537 bytes, limit 65536`},
		{"terminal escape in the body", change(`Begun.`, `\u001b]0;x\u0007`), `6:3: incident 2 (id "b"): update 2 (id "v"): body contains the control character U+001B at byte 0`},
	}
}

// onlyStrict are the files that only a strict import refuses. Other imports skip a part.
var onlyStrict = []string{"101 components", "no body", "blank body"}

// A strict import of a hostile file results in a single-line error with the position, and
// nothing is imported.
func TestHostileFiles_strict(t *testing.T) {
	for _, file := range hostileFiles() {
		t.Run(file.name, func(t *testing.T) {
			incidents := newManager(t)
			past, err := Options{Strict: true}.decode("f.json", []byte(file.data))
			if err == nil {
				_, err = Import(t.Context(), incidents, past, func(int) {})
			}
			if err == nil || err.Error() != "f.json:"+file.want {
				t.Errorf("got error\n%v, want\nf.json:%s", err, file.want)
			}
			if got := snapshot(t, incidents, "p"); len(got) != 0 {
				t.Errorf("%d incidents were imported, want none", len(got))
			}
		})
	}
}

// A faulty record is reported with its place, and all others are imported. A file without
// usable structure is refused.
func TestHostileFiles_leftOut(t *testing.T) {
	for _, file := range hostileFiles() {
		if slices.Contains(onlyStrict, file.name) {
			continue
		}
		t.Run(file.name, func(t *testing.T) {
			incidents := newManager(t)
			past, err := Options{}.decode("f.json", []byte(file.data))
			if err == nil {
				_, err = Import(t.Context(), incidents, past, func(int) {})
			}
			if err == nil || err.Error() != "f.json:"+file.want {
				t.Errorf("got error\n%v, want\nf.json:%s", err, file.want)
			}
			leftOut, record := errors.AsType[*LeftOut](err)
			if record != strings.Contains(file.want, ": incident ") || record && len(leftOut.Faults) != 1 {
				t.Errorf("got error %#v", err)
			}
			want := 0
			switch {
			case strings.Contains(file.want, ": update "):
				want = 2
			case record && !strings.Contains(file.want, "incident 1:"):
				want = 1
			}
			got := snapshot(t, incidents, "p")
			if len(got) != want {
				t.Fatalf("%d incidents were imported, want %d", len(got), want)
			}
			if want == 2 && (got[1].Title != "B" || got[1].Status != incident.StatusClosed || countComments(got[1]) == 0) {
				t.Errorf("the incident of the faulty update is %+v", got[1])
			}
		})
	}
}

func countComments(s stored) (n int) {
	for _, a := range s.activities {
		if a.Type == incident.ActivityTypeComment {
			n++
		}
	}
	return n
}
