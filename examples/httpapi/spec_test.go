package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// spec is the API's description. It validates every request and response of the tests.
type spec struct {
	document map[string]any
	compiler *jsonschema.Compiler
	paths    map[string]*regexp.Regexp // by the described path

	mu        sync.Mutex // guards the fields below
	exercised map[string]bool
}

func newSpec(t testing.TB) *spec {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	s := &spec{
		document: document.(map[string]any), compiler: jsonschema.NewCompiler(),
		paths: map[string]*regexp.Regexp{}, exercised: map[string]bool{},
	}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	if err := s.compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	for path := range s.document["paths"].(map[string]any) {
		s.paths[path] = regexp.MustCompile("^" + regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "([^/]+)") + "$")
	}
	return s
}

// at is a value of the document and its position, as a JSON pointer.
type at struct {
	pointer string
	value   any
}

// get follows a path of keys, and references.
func (s *spec) get(from at, keys ...string) (at, bool) {
	for _, key := range keys {
		object, _ := from.value.(map[string]any)
		value, ok := object[key]
		if !ok {
			return at{}, false
		}
		from = s.follow(at{from.pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key), value})
	}
	return from, true
}

func (s *spec) follow(from at) at {
	object, _ := from.value.(map[string]any)
	ref, ok := object["$ref"].(string)
	if !ok {
		return from
	}
	target, _ := s.get(at{"#", s.document}, strings.Split(ref, "/")[1:]...)
	return target
}

// validate validates a value against a schema of the document.
func (s *spec) validate(t testing.TB, what string, schema at, value any) {
	t.Helper()
	s.mu.Lock()
	compiled, err := s.compiler.Compile("openapi.json" + (&url.URL{Fragment: schema.pointer[1:]}).String())
	s.mu.Unlock()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// operation returns the described operation of a request.
func (s *spec) operation(r *http.Request) (op at, name string, known bool) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for path, pattern := range s.paths {
		if pattern.MatchString(r.URL.EscapedPath()) {
			op, known = s.get(at{"#", s.document}, "paths", path, strings.ToLower(method))
			return op, method + " " + path, known && method == strings.ToUpper(method)
		}
	}
	return at{}, "", false
}

// check validates a request and its response.
func (s *spec) check(t testing.TB, r *http.Request, sent []byte, w *http.Response, got []byte) {
	t.Helper()
	what := r.Method + " " + r.URL.String() + ": " + strconv.Itoa(w.StatusCode)
	op, name, known := s.operation(r)
	status := strconv.Itoa(w.StatusCode)
	var response at
	if known {
		s.mu.Lock()
		s.exercised[name+" "+status] = true
		s.mu.Unlock()
		if response, known = s.get(op, "responses", status); !known {
			t.Errorf("%s is not described: %s", what, got)
			return
		}
	} else {
		op = at{}
		// A request without an operation has an unknown path or method.
		component := map[int]string{http.StatusNotFound: "NotFound", http.StatusMethodNotAllowed: "NotFound"}[w.StatusCode]
		if response, known = s.get(at{"#", s.document}, "components", "responses", component); !known {
			t.Errorf("%s is not described: %s", what, got)
			return
		}
		w.Header.Del("Allow")
	}
	s.checkHeaders(t, what, response, w.Header)
	s.checkBody(t, what, response, r.Method, w, got)
	if w.StatusCode < 300 && op.value != nil {
		s.checkRequest(t, what, op, name, r, sent)
	}
}

func (s *spec) checkHeaders(t testing.TB, what string, response at, h http.Header) {
	t.Helper()
	described, _ := s.get(response, "headers")
	names := described.value.(map[string]any)
	for name := range names {
		schema, _ := s.get(described, name, "schema")
		required, _ := s.get(described, name, "required")
		given := h[http.CanonicalHeaderKey(name)]
		if len(given) == 0 && required.value != true {
			continue
		}
		if len(given) != 1 {
			t.Errorf("%s has no header %s, or several: %v", what, name, h)
			continue
		}
		s.validate(t, what+" "+name, schema, h.Get(name))
	}
	for name := range h {
		_, ok := names[name]
		if name == "Etag" {
			_, ok = names["ETag"]
		}
		if name == "Www-Authenticate" {
			_, ok = names["WWW-Authenticate"]
		}
		if !ok && !slices.Contains([]string{"Content-Type", "Content-Length", "Date", "Connection"}, name) {
			t.Errorf("%s has the header %s, which is not described", what, name)
		}
	}
}

func (s *spec) checkBody(t testing.TB, what string, response at, method string, w *http.Response, got []byte) {
	t.Helper()
	schema, hasBody := s.get(response, "content", "application/json", "schema")
	if !hasBody {
		if len(got) > 0 {
			t.Errorf("%s has the body %s", what, got)
		}
		return
	}
	if media := w.Header.Get("Content-Type"); media != "application/json" {
		t.Errorf("%s is %s", what, media)
	}
	if method == http.MethodHead {
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got))
	if err != nil {
		t.Errorf("%s: %v: %s", what, err, got)
		return
	}
	s.validate(t, what, schema, value)
}

// checkRequest validates a request that was accepted.
func (s *spec) checkRequest(t testing.TB, what string, op at, name string, r *http.Request, sent []byte) {
	t.Helper()
	schema, hasBody := s.get(op, "requestBody", "content", "application/json", "schema")
	switch {
	case hasBody:
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(sent))
		if err != nil {
			t.Errorf("%s: request: %v", what, err)
			return
		}
		s.validate(t, what+": request", schema, value)
	case len(sent) > 0:
		t.Errorf("%s accepted an undescribed body", what)
	}
	_, path, _ := strings.Cut(name, " ")
	item, _ := s.get(at{"#", s.document}, "paths", path)
	values := r.URL.Query()
	for i, match := range s.paths[path].FindStringSubmatch(r.URL.EscapedPath())[1:] {
		segment, err := url.PathUnescape(match)
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		values[regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1)[i][1]] = []string{segment}
	}
	for _, of := range []at{item, op} {
		parameters, _ := s.get(of, "parameters")
		list, _ := parameters.value.([]any)
		for _, p := range list {
			s.checkParameter(t, what, s.follow(at{"", p}), values, r.Header)
		}
	}
	if len(values) > 0 {
		t.Errorf("%s accepted undescribed parameters: %v", what, values)
	}
}

// checkParameter removes a parameter from the values and validates it.
func (s *spec) checkParameter(t testing.TB, what string, p at, values url.Values, h http.Header) {
	t.Helper()
	parameter := p.value.(map[string]any)
	name := parameter["name"].(string)
	given := values[name]
	if parameter["in"] == "header" {
		given = h[name]
	}
	delete(values, name)
	if len(given) == 0 {
		if parameter["required"] == true {
			t.Errorf("%s was accepted without %s", what, name)
		}
		return
	}
	schema, _ := s.get(p, "schema")
	var value any = given[0]
	switch schema.value.(map[string]any)["type"] {
	case "array":
		list := make([]any, len(given))
		for i, v := range given {
			list[i] = v
		}
		value = list
	case "integer":
		value = json.Number(given[0])
	}
	s.validate(t, what+": "+name, schema, value)
}

// operations returns each operation with its described statuses.
func (s *spec) operations() map[string][]string {
	all := map[string][]string{}
	for path := range s.paths {
		item, _ := s.get(at{"#", s.document}, "paths", path)
		for method := range item.value.(map[string]any) {
			if responses, ok := s.get(item, method, "responses"); ok {
				all[strings.ToUpper(method)+" "+path] = slices.Sorted(maps.Keys(responses.value.(map[string]any)))
			}
		}
	}
	return all
}

// checkExercised reports described responses that never occurred.
func (s *spec) checkExercised(t *testing.T) {
	for name, statuses := range s.operations() {
		for _, status := range statuses {
			if !s.exercised[name+" "+status] {
				t.Errorf("%s never responded with the described %s", name, status)
			}
		}
	}
}

// checkedTransport is a transport that validates all traffic against the spec.
type checkedTransport struct {
	t    testing.TB
	spec *spec
	next http.RoundTripper
}

func (c *checkedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	w, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(w.Body)
	_ = w.Body.Close()
	if err != nil {
		return nil, err
	}
	w.Body = io.NopCloser(bytes.NewReader(got))
	c.spec.check(c.t, r, sent, w, got)
	return w, nil
}

// The document describes exactly the existing routes.
func TestOpenAPI_routes(t *testing.T) {
	want := []string{"GET " + openAPIPath}
	for _, r := range routes {
		want = append(want, r.method+" "+r.path)
	}
	got := slices.Sorted(maps.Keys(newSpec(t).operations()))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("described are\n%q, served\n%q", got, want)
	}
}

// Every reference of the document resolves, and every component is used.
func TestOpenAPI_references(t *testing.T) {
	s := newSpec(t)
	used := map[string]bool{}
	for _, ref := range regexp.MustCompile(`"\$ref": "(#/[^"]+)"`).FindAllStringSubmatch(string(openAPI), -1) {
		used[ref[1]] = true
		if _, ok := s.get(at{"#", s.document}, strings.Split(ref[1], "/")[1:]...); !ok {
			t.Errorf("%s does not resolve", ref[1])
		}
	}
	for kind, components := range s.document["components"].(map[string]any) {
		for name := range components.(map[string]any) {
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] {
				t.Errorf("the component %s %s is not used", kind, name)
			}
		}
	}
}
