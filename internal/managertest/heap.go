package managertest

import (
	"reflect"
	"strings"
	"unsafe"
)

// FindInHeap returns the places of a text in everything that is reachable from root: the fields of
// structs by type and name, whether they are exported or not. It does not look into functions
// and channels. Nothing may change meanwhile.
func FindInHeap(root any, text string) Places {
	w := &heapWalk{text: text, found: Places{}, seen: map[heapRef]bool{}}
	w.walk(reflect.ValueOf(root), "root")
	return w.found
}

// heapRef identifies a visited value. A struct has the address of its first field.
type heapRef struct {
	at unsafe.Pointer
	t  reflect.Type
	n  int // of a slice
}

type heapWalk struct {
	text  string
	found Places
	seen  map[heapRef]bool
}

// first reports whether a value is visited for the first time.
func (w *heapWalk) first(at unsafe.Pointer, t reflect.Type, n int) bool {
	r := heapRef{at, t, n}
	if at == nil || w.seen[r] {
		return false
	}
	w.seen[r] = true
	return true
}

func (w *heapWalk) walk(v reflect.Value, place string) {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), w.text) {
			w.found[place]++
		}
	case reflect.Pointer:
		if w.first(v.UnsafePointer(), v.Type(), 0) {
			w.walk(v.Elem(), place)
		}
	case reflect.Interface:
		w.walk(v.Elem(), place)
	case reflect.Struct:
		w.fields(v)
	case reflect.Slice:
		if w.first(v.UnsafePointer(), v.Type(), v.Len()) {
			w.elements(v, place)
		}
	case reflect.Array:
		w.elements(v, place)
	case reflect.Map:
		if !w.first(v.UnsafePointer(), v.Type(), 0) {
			return
		}
		for entries := v.MapRange(); entries.Next(); {
			w.walk(entries.Key(), place)
			w.walk(entries.Value(), place)
		}
	}
}

func (w *heapWalk) elements(v reflect.Value, place string) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b := make([]byte, v.Len())
		for i := range b {
			b[i] = byte(v.Index(i).Uint())
		}
		if strings.Contains(string(b), w.text) {
			w.found[place]++
		}
		return
	}
	for i := range v.Len() {
		w.walk(v.Index(i), place)
	}
}

func (w *heapWalk) fields(v reflect.Value) {
	t := v.Type()
	if strings.HasPrefix(t.String(), "atomic.Pointer[") {
		// Its first field has the type of the pointer, and its last field the pointer.
		at := v.Field(t.NumField() - 1).UnsafePointer()
		if elem := t.Field(0).Type.Elem().Elem(); at != nil {
			w.walk(reflect.NewAt(elem, at), t.String())
		}
		return
	}
	for i := range t.NumField() {
		w.walk(v.Field(i), t.String()+"."+t.Field(i).Name)
	}
}
