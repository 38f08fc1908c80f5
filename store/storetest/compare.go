package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/incidentkit/incident"
)

// wantEqual reports the first difference of two values. An empty slice equals nil. A
// time equals only the same instant in the same location, because the states of
// incidents are compared with ==.
func wantEqual(t *trial, name string, got, want any) {
	t.Helper()
	if diff := difference(reflect.ValueOf(got), reflect.ValueOf(want)); diff != "" {
		gotText, wantText := excerpts(show(got), show(want))
		t.Errorf("%s%s\n got: %s\nwant: %s", name, diff, gotText, wantText)
	}
}

// excerpts cuts long texts to the parts around their first difference.
func excerpts(got, want string) (gotPart, wantPart string) {
	const before, length = 60, 200
	if len(got) <= length && len(want) <= length {
		return got, want
	}
	same := 0
	for same < min(len(got), len(want)) && got[same] == want[same] {
		same++
	}
	from := max(same-before, 0)
	return excerpt(got, from, length), excerpt(want, from, length)
}

// excerpt returns at most length bytes of a text.
func excerpt(text string, from, length int) string {
	part := text[from:min(from+length, len(text))]
	if from > 0 {
		part = "..." + part
	}
	if from+length < len(text) {
		part += "..."
	}
	return strings.ToValidUTF8(part, "?")
}

// shorten cuts a message to a few lines of readable length.
func shorten(message string) string {
	const maxLines, maxLine = 5, 400
	lines := strings.Split(message, "\n")
	if len(lines) > maxLines {
		lines = append(lines[:maxLines], "...")
	}
	for i, line := range lines {
		lines[i] = excerpt(line, 0, maxLine)
	}
	return strings.Join(lines, "\n")
}

// equal reports whether wantEqual would accept the values.
func equal(got, want any) bool {
	return difference(reflect.ValueOf(got), reflect.ValueOf(want)) == ""
}

// show returns a value as text, with the values behind its pointers.
func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(text)
}

var timeType, writeIDType = reflect.TypeFor[time.Time](), reflect.TypeFor[incident.WriteID]()

// difference returns the path of the first difference of two values of a type, with
// both values. It is empty if they are equal.
func difference(got, want reflect.Value) string {
	if !got.IsValid() || !want.IsValid() {
		return differenceIf(got.IsValid() != want.IsValid(), got, want)
	}
	if got.Type() == timeType {
		return differenceIf(got.Interface() != want.Interface(), got, want)
	}
	if got.Type() == writeIDType {
		return "" // stores choose them
	}
	switch got.Kind() {
	case reflect.Pointer, reflect.Interface:
		if got.IsNil() || want.IsNil() {
			return differenceIf(got.IsNil() != want.IsNil(), got, want)
		}
		return difference(got.Elem(), want.Elem())
	case reflect.Slice:
		return sliceDifference(got, want)
	case reflect.Map:
		return mapDifference(got, want)
	case reflect.Struct:
		for i := range got.NumField() {
			if diff := difference(got.Field(i), want.Field(i)); diff != "" {
				return "." + got.Type().Field(i).Name + diff
			}
		}
		return ""
	default:
		return differenceIf(!got.Equal(want), got, want)
	}
}

func sliceDifference(got, want reflect.Value) string {
	for i := range min(got.Len(), want.Len()) {
		if diff := difference(got.Index(i), want.Index(i)); diff != "" {
			return fmt.Sprintf("[%d]%s", i, diff)
		}
	}
	if got.Len() != want.Len() {
		return fmt.Sprintf(": %d elements, want %d", got.Len(), want.Len())
	}
	return ""
}

// mapDifference compares two maps. An empty map differs from nil, because the wire shows the
// difference.
func mapDifference(got, want reflect.Value) string {
	if got.IsNil() != want.IsNil() {
		return differenceIf(true, got, want)
	}
	for _, m := range []reflect.Value{got, want} {
		for _, key := range m.MapKeys() {
			if diff := difference(got.MapIndex(key), want.MapIndex(key)); diff != "" {
				return fmt.Sprintf("[%s]%s", describe(key), diff)
			}
		}
	}
	return ""
}

func differenceIf(differ bool, got, want reflect.Value) string {
	if !differ {
		return ""
	}
	return fmt.Sprintf(": %s, want %s", describe(got), describe(want))
}

// describe returns a text that differs for values that print alike.
func describe(v reflect.Value) string {
	switch {
	case !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil():
		return "nil"
	case v.Type() == timeType:
		t := v.Interface().(time.Time)
		return t.Format(time.RFC3339Nano) + " in " + t.Location().String()
	case v.Kind() == reflect.String:
		return fmt.Sprintf("%+q", v.String())
	case v.Kind() == reflect.Map && v.IsNil():
		return "nil"
	default:
		return fmt.Sprintf("%v", v)
	}
}

// scribble overwrites all memory behind v, with the spare capacity of slices. It does
// not change v itself.
func scribble(v any) {
	own := reflect.New(reflect.TypeOf(v)).Elem()
	own.Set(reflect.ValueOf(v))
	scribbleOn(own)
}

func scribbleOn(v reflect.Value) {
	if v.Type() == timeType {
		v.Set(reflect.ValueOf(time.Unix(1, 0)))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scribbleOn(v.Elem())
		}
	case reflect.Slice:
		for full, i := v.Slice(0, v.Cap()), 0; i < full.Len(); i++ {
			scribbleOn(full.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			scribbleOn(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			scribbleOn(v.Field(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			value := reflect.New(v.Type().Elem()).Elem()
			value.Set(v.MapIndex(key))
			scribbleOn(value)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		v.SetString("scribble")
	case reflect.Int, reflect.Int64:
		v.SetInt(-77)
	case reflect.Uint8:
		v.SetUint(77)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	default:
		panic("storetest: cannot overwrite a " + v.Type().String())
	}
}
