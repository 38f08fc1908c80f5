package postgres

import (
	"bytes"
	"strconv"
	"strings"
)

// arrayWriter writes the texts of arrays. The arrays of package pq make several copies of their
// elements each time that they are sent, which is a good part of what a batch costs the client.
type arrayWriter struct{ space []byte }

// write returns the text of an array with n elements, which add appends.
func (w *arrayWriter) write(n int, add func(to []byte, i int) []byte) string {
	text := append(w.space[:0], '{')
	for i := range n {
		if i > 0 {
			text = append(text, ',')
		}
		text = add(text, i)
	}
	w.space = append(text, '}')
	return string(w.space)
}

// texts returns the text of an array of texts.
func (w *arrayWriter) texts(n int, element func(i int) string) string {
	return w.write(n, func(to []byte, i int) []byte { return appendText(to, element(i)) })
}

// numbers returns the text of an array of numbers.
func (w *arrayWriter) numbers(n int, element func(i int) int64) string {
	return w.write(n, func(to []byte, i int) []byte { return strconv.AppendInt(to, element(i), 10) })
}

// appendText appends a text as an element of an array.
func appendText(to []byte, text string) []byte {
	to = append(to, '"')
	for {
		i := strings.IndexAny(text, `"\`)
		if i < 0 {
			return append(append(to, text...), '"')
		}
		to = append(append(append(to, text[:i]...), '\\'), text[i])
		text = text[i+1:]
	}
}

// appendAsText appends what add appends as an element of an array.
func appendAsText(to []byte, add func(to []byte) []byte) []byte {
	start := len(to)
	to = add(append(to, '"'))
	if added := to[start+1:]; bytes.IndexByte(added, '"') >= 0 || bytes.IndexByte(added, '\\') >= 0 {
		return appendText(to[:start], string(added))
	}
	return append(to, '"')
}
