package managertest

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// comparedValues returns a value of each type that same compares by hand.
func comparedValues() []any {
	date := start
	inc := incident.Incident{
		Projects: []incident.ProjectID{"p"}, DateClosed: &date,
		Response: &incident.Response{DateAcknowledged: &date, AcknowledgedUntil: &date},
		Labels:   map[string]string{"l": "v"}, Annotations: map[string]string{"a": "v"},
	}
	return []any{
		inc,
		incident.Result{Incident: inc},
		activeAnswer{Incident: inc},
		incident.Details{Incident: inc, Triggers: []incident.Trigger{{Severity: 1}}, SeenBy: []incident.Seen{{UserID: "u"}}},
		incident.Activity{DateEdited: &date, DateDeleted: &date},
		[]incident.Incident{inc},
		[]incident.Trigger{{Severity: 1}},
		[]incident.Seen{{UserID: "u"}},
		[]incident.Subscription{{UserID: "u"}},
	}
}

// same compares every field, including fields added later.
func TestSame_seesEveryField(t *testing.T) {
	for _, v := range comparedValues() {
		if !same(v, deepCopy(reflect.ValueOf(v)).Interface()) {
			t.Errorf("%T is not the same as its copy", v)
		}
		for i := 0; ; i++ {
			changed := deepCopy(reflect.ValueOf(v))
			field := i
			path := change(changed, &field, "")
			if path == "" {
				break
			}
			if same(v, changed.Interface()) {
				t.Errorf("%T%s makes no difference", v, path)
			}
		}
	}
}

// scribble overwrites everything that a copy of the value shares.
func TestScribble_reachesEverything(t *testing.T) {
	for _, v := range comparedValues() {
		kept := deepCopy(reflect.ValueOf(v)).Interface()
		shared := deepCopy(reflect.ValueOf(v)).Interface()
		scribble(shared)
		if same(kept, shared) {
			t.Errorf("%T is not spoilt", v)
		}
	}
}

// deepCopy returns a settable copy that shares no memory with v.
func deepCopy(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch {
	case v.Kind() == reflect.Slice:
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(deepCopy(v.Index(i)))
		}
	case v.Kind() == reflect.Map && !v.IsNil():
		c.Set(reflect.MakeMap(v.Type()))
		for _, key := range v.MapKeys() {
			c.SetMapIndex(key, v.MapIndex(key))
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		c.Set(reflect.New(v.Type().Elem()))
		c.Elem().Set(deepCopy(v.Elem()))
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			c.Field(i).Set(deepCopy(v.Field(i)))
		}
	}
	return c
}

// change changes leaf n of v and returns its path, or "" if v has fewer leaves.
func change(v reflect.Value, n *int, path string) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Type() == reflect.TypeFor[uuid.UUID]():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if p := change(v.Field(i), n, path+"."+v.Type().Field(i).Name); p != "" {
				return p
			}
		}
		return ""
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if p := change(v.Index(i), n, fmt.Sprintf("%s[%d]", path, i)); p != "" {
				return p
			}
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		if p := change(v.Elem(), n, "*"+path); p != "" {
			return p
		}
	}
	if *n--; *n >= 0 {
		return ""
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Microsecond)))
	case v.Type() == reflect.TypeFor[uuid.UUID]():
		v.Set(reflect.ValueOf(uuid.Max))
	case v.CanInt():
		v.SetInt(v.Int() + 1)
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.Kind() == reflect.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == reflect.Map:
		v.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf("changed"))
	default: // a list or a pointer itself
		v.SetZero()
	}
	return path
}
