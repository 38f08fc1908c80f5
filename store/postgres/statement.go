package postgres

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// A statement is assembled of parts. In the text of a part each ? is the next
// argument, and @ stands before the name of a table, for its schema. $1 is the
// organization in all of them.
//
// The text depends on the parts alone: every argument is a parameter, whatever its value.
// A text that depended on values would come in as many variants as there are values, and
// each connection keeps what it has prepared.
//
// The texts of a store are at most maxTexts: 44 of changes (see layout), 14 of lists, and
// one or two of every other call.
//
// Statements of the same shape, which is their parts and the parameters that these refer
// to, have the same text. It is put together once.
type statement struct {
	database *database
	parts    []*part
	shape    []byte // the number of each part, and that of the parameter for each ? of it
	args     []any
}

// maxTexts is how many statements a connection prepares at most.
const maxTexts = 90

// part is the text of a part, cut where its arguments are.
type part struct {
	number uint64
	pieces []string
}

func (d *database) statement(organization any) *statement {
	s := &statement{
		database: d,
		parts:    make([]*part, 0, 16),
		shape:    make([]byte, 0, 128),
		args:     make([]any, 1, 16),
	}
	s.args[0] = organization
	return s
}

// add appends a part with its arguments, one for each ? of it.
func (s *statement) add(text string, args ...any) *statement {
	p := s.database.part(text)
	if len(p.pieces) != len(args)+1 {
		panic("postgres: a part of a statement has not one argument for each ? of it")
	}
	s.parts = append(s.parts, p)
	s.shape = binary.AppendUvarint(s.shape, p.number)
	for _, arg := range args {
		s.addArg(arg)
	}
	return s
}

// reference is the number of a parameter, for several parts to refer to.
type reference int

// parameter adds a parameter that no part has yet.
func (s *statement) parameter(arg any) reference {
	s.args = append(s.args, arg)
	return reference(len(s.args))
}

func (s *statement) addArg(arg any) {
	r, isReference := arg.(reference)
	if !isReference {
		r = s.parameter(arg)
	}
	s.shape = binary.AppendUvarint(s.shape, uint64(r))
}

// text puts the statement together.
func (s *statement) text() string {
	var b strings.Builder
	numbers := s.shape
	next := func() uint64 {
		v, n := binary.Uvarint(numbers)
		numbers = numbers[n:]
		return v
	}
	for _, p := range s.parts {
		next() // its number
		b.WriteString(p.pieces[0])
		for _, piece := range p.pieces[1:] {
			b.WriteByte('$')
			b.WriteString(strconv.FormatUint(next(), 10))
			b.WriteString(piece)
		}
	}
	return b.String()
}
