package postgres

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/incidentkit/incident"
)

// A statement is assembled of parts. In the text of a part each ? is the next
// argument, and @ stands before the name of a table, for its schema. $1 is the
// organization in all of them.
//
// What few values are possible for becomes a literal of the text: an int, which
// is an enumeration or a count, an empty string and nil. A time, a UUID, a user, a
// project and a call that come up again are the same parameter, and one project
// is no array. Sending and reading parameters is half of what a statement costs
// beside the writing itself, and the texts are still few.
//
// Statements of the same shape, which is their parts and what became of the
// arguments, have the same text. It is put together once.
type statement struct {
	database *database
	parts    []*part
	shape    []byte // the number of each part, and a token for each ? of it
	args     []any
}

// part is the text of a part, cut where its arguments are.
type part struct {
	number uint64
	pieces []string
}

// The tokens of a shape. Others are the number of a parameter, behind these.
const (
	literalToken = iota // and the text, behind its length
	arrayToken          // of one element, whose token follows
	parameterToken
)

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
	switch v := arg.(type) {
	case reference:
		s.shape = binary.AppendUvarint(s.shape, uint64(parameterToken+int(v)))
		return
	case nil:
		s.addLiteral("NULL")
		return
	case int:
		s.addLiteral(strconv.Itoa(v))
		return
	case string:
		if v == "" {
			s.addLiteral("''")
			return
		}
	case *time.Time:
		if v == nil {
			s.addLiteral("NULL")
		} else {
			s.addOnce(*v)
		}
		return
	case projectArray:
		if len(v) == 1 {
			s.shape = binary.AppendUvarint(s.shape, arrayToken)
			s.addOnce(v[0])
			return
		}
		arg = idArray(v)
	case incident.UserID:
		if v == "" {
			s.addLiteral("''")
		} else {
			s.addOnce(v)
		}
		return
	case time.Time, uuid.UUID, callID, snapshot, incident.ProjectID:
		s.addOnce(arg)
		return
	}
	s.addParameter(arg)
}

func (s *statement) addLiteral(text string) {
	s.shape = binary.AppendUvarint(s.shape, literalToken)
	s.shape = binary.AppendUvarint(s.shape, uint64(len(text)))
	s.shape = append(s.shape, text...)
}

func (s *statement) addParameter(arg any) {
	s.args = append(s.args, arg)
	s.shape = binary.AppendUvarint(s.shape, uint64(parameterToken+len(s.args)))
}

// addOnce adds an argument, or refers to an equal one of its type.
func (s *statement) addOnce(arg any) {
	if i := slices.Index(s.args[1:], arg); i >= 0 {
		s.shape = binary.AppendUvarint(s.shape, uint64(parameterToken+i+2))
		return
	}
	s.addParameter(arg)
}

// projectArray is an array of projects, of which there is usually one.
type projectArray []incident.ProjectID

// text puts the statement together.
func (s *statement) text() string {
	var b strings.Builder
	tokens := s.shape
	next := func() uint64 {
		v, n := binary.Uvarint(tokens)
		tokens = tokens[n:]
		return v
	}
	var argument func()
	argument = func() {
		switch token := next(); token {
		case literalToken:
			n := next()
			b.Write(tokens[:n])
			tokens = tokens[n:]
		case arrayToken:
			b.WriteString("ARRAY[")
			argument()
			b.WriteString("::text]")
		default:
			b.WriteByte('$')
			b.WriteString(strconv.FormatUint(token-parameterToken, 10))
		}
	}
	for _, p := range s.parts {
		next() // its number
		b.WriteString(p.pieces[0])
		for _, piece := range p.pieces[1:] {
			argument()
			b.WriteString(piece)
		}
	}
	return b.String()
}
