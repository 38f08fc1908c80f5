package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/incidentkit/incident"
)

// sumOfX is the SHA-256 of the token x.
const sumOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

func TestDirectory_Authorized(t *testing.T) {
	d := &directory{users: map[incident.UserID]memberships{
		"ada":   {"acme": {projects: []incident.ProjectID{"a", "b"}}},
		"grace": {"acme": {all: true}, "globex": {all: true}},
		"eve":   {"acme": {projects: []incident.ProjectID{}}},
	}}
	for _, test := range []struct {
		organization incident.OrganizationID
		projects     []incident.ProjectID
		want         []incident.UserID
	}{
		{"acme", nil, []incident.UserID{"ada", "grace", "eve"}},
		{"acme", []incident.ProjectID{"b", "c"}, []incident.UserID{"ada", "grace"}},
		{"acme", []incident.ProjectID{"c"}, []incident.UserID{"grace"}},
		{"globex", nil, []incident.UserID{"grace"}},
		{"globex", []incident.ProjectID{"a"}, []incident.UserID{"grace"}},
		{"none", nil, nil},
		{"", nil, nil},
	} {
		got, err := d.Authorized(t.Context(), test.organization, test.projects, []incident.UserID{"ada", "grace", "eve", "nobody", ""})
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("Authorized(%s, %v) = %v, %v, want %v", test.organization, test.projects, got, err, test.want)
		}
	}
}

func TestReadDirectory(t *testing.T) {
	good := `{"tokens": [
		{"sha256": "` + sumOfX + `", "user": "ada", "organizations": {"acme": {"projects": ["b", "a", "b"]}, "globex": {"allProjects": true}}},
		{"sha256": "00` + sumOfX[2:] + `", "user": "eve", "organizations": {"acme": {"projects": []}}},
		{"sha256": "01` + sumOfX[2:] + `", "user": "ada", "organizations": {"globex": {"allProjects": true}, "acme": {"projects": ["a", "b"]}}}
	]}`
	d := &directory{users: map[incident.UserID]memberships{}}
	if err := d.decode([]byte(good)); err != nil || len(d.tokens) != 3 || len(d.users) != 2 || !d.users["ada"]["globex"].all ||
		!slices.Equal(d.users["ada"]["acme"].projects, []incident.ProjectID{"a", "b"}) || d.users["eve"]["acme"].admits([]incident.ProjectID{"a"}) {
		t.Errorf("the directory is %+v, %v", d, err)
	}
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in the file", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, test := range []struct{ name, data, want string }{
		{"empty", "", "malformed: not a JSON object"},
		{"no tokens", `{}`, "tokens must have at least one"},
		{"null", `{"tokens": null}`, "tokens must have at least one"},
		{"no list", `{"tokens": {}}`, "tokens must be a list"},
		{"trailing", good + "x", "malformed: something follows the JSON object"},
		{"a list twice", `{"tokens": [], "tokens": []}`, "tokens appears twice"},
		{"another case", change("sha256", "SHA256"), `token 1: malformed: unknown field "SHA256"`},
		{"a secret itself", change(`"`+sumOfX, `"x`), "token 1: sha256 must be the 64 hexadecimal digits of the token's SHA-256"},
		{"a short sum", change(sumOfX, sumOfX[:63]), "token 1: sha256 must be the 64 hexadecimal digits of the token's SHA-256"},
		{"a long sum", change(sumOfX, sumOfX+"00"), "token 1: sha256 must be the 64 hexadecimal digits of the token's SHA-256"},
		{"no sum", change(`"sha256": "`+sumOfX+`", `, ""), "token 1: sha256 must be the 64 hexadecimal digits of the token's SHA-256"},
		{"a sum twice", change(`"00`, `"2d`), "token 2: sha256 is that of a token before"},
		{"no user", change(`"user": "ada", `, ""), "token 1: user must have 1 to 255 bytes without control characters"},
		{"a long user", change(`"eve"`, `"`+strings.Repeat("x", 256)+`"`), "token 2: user must have 1 to 255 bytes without control characters"},
		{"a number for a user", change(`"eve"`, `5`), "token 2: user must be a string"},
		{"no organizations", change(`, "organizations": {"acme": {"projects": []}}`, ""), "token 2: organizations is required"},
		{"a list of organizations", change(`{"acme": {"projects": []}}`, `["acme"]`), "token 2: malformed: not a JSON object"},
		{
			"an organization without a name", change(`{"acme": {"projects": []}}`, `{"": {"projects": []}}`),
			`token 2: organization "": organizations must have 1 to 255 bytes without control characters`,
		},
		{"an organization twice", change(`{"acme": {"projects": []}}`, `{"acme": {"projects": []}, "acme": {"projects": []}}`), "token 2: acme appears twice"},
		{"neither", change(`{"projects": []}`, `{}`), `token 2: organization "acme": projects must be given, or allProjects be true, but not both`},
		{
			"both", change(`{"projects": []}`, `{"projects": [], "allProjects": true}`),
			`token 2: organization "acme": projects must be given, or allProjects be true, but not both`,
		},
		{"null projects", change(`{"projects": []}`, `{"projects": null}`), `token 2: organization "acme": projects must be given, or allProjects be true, but not both`},
		{"all and none", change(`{"projects": []}`, `{"allProjects": false}`), `token 2: organization "acme": projects must be given, or allProjects be true, but not both`},
		{"a text for a truth", change(`"allProjects": true`, `"allProjects": "no"`), `token 1: organization "globex": allProjects must be true or false`},
		{"a number for a project", change(`"projects": []`, `"projects": [1]`), `token 2: organization "acme": projects must be a list of strings`},
		{"no project's name", change(`"projects": []`, `"projects": [""]`), `token 2: organization "acme": projects must have 1 to 255 bytes without control characters`},
		{"a control character", change(`"projects": []`, `"projects": ["\n"]`), `token 2: organization "acme": projects must have 1 to 255 bytes without control characters`},
		{"many projects", change(`"projects": []`, `"projects": ["x"`+strings.Repeat(`,"x"`, 1000)+`]`), `token 2: organization "acme": projects must not be more than 1000; use allProjects`},
		{"two of one user", change(`["a", "b"]`, `["a"]`), "token 3: organizations must be the same for all tokens of a user"},
	} {
		file := t.TempDir() + "/tokens.json"
		if err := os.WriteFile(file, []byte(test.data), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readDirectory(file); err == nil || err.Error() != file+": "+test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// A huge file is not read as a whole.
func TestReadDirectory_huge(t *testing.T) {
	file := t.TempDir() + "/tokens.json"
	if err := os.WriteFile(file, make([]byte, maxTokenFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readDirectory(file); err == nil || err.Error() != file+": larger than 1024 KiB" {
		t.Error(err)
	}
}
