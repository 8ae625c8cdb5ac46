package main_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// openPty returns a terminal with 80 columns: the side of the person, and that of a program.
func openPty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("this machine has no pseudo terminals: ", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	fd := int(person.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	return person, program
}

func TestMigrateDown_asks_at_a_terminal(t *testing.T) {
	t.Parallel()
	m := newMigrations(t)
	database := m.url[strings.LastIndex(m.url, "/")+1:]
	database, _, _ = strings.Cut(database, "?")
	answer := func(text string) (output string, code int) {
		cmd := greenroom(t, "migrate", "down")
		cmd.Env = append(cmd.Env, "GREENROOM_DATABASE_URL="+m.url)
		terminal, program := openPty(t)
		var out bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = program, &out, &out
		_, err := io.WriteString(terminal, text+"\n")
		require.NoError(t, err)
		_ = cmd.Run() // its exit code is checked
		return out.String(), cmd.ProcessState.ExitCode()
	}

	out, code := answer("yes")
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "Type the name of the database, "+database+", to roll back: ")
	assert.Contains(t, out, "nothing was rolled back: the answer is not the name of the database")
	assert.Empty(t, m.missing())

	out, code = answer(database)
	assert.Zero(t, code, out)
	assert.Len(t, m.missing(), 1)
}

func TestLists_fit_the_terminal(t *testing.T) {
	t.Parallel()
	s := newShell(t)
	show := func(variables ...string) string {
		cmd := greenroom(t, "webhooks", "list")
		cmd.Env = append(append(cmd.Env, s.env...), variables...)
		person, program := openPty(t)
		cmd.Stdout = program
		require.NoError(t, cmd.Run())
		require.NoError(t, program.Close())
		out, _ := io.ReadAll(person) // ends with EIO once the program's side is closed
		return strings.ReplaceAll(string(out), "\r\n", "\n")
	}
	plain := show("NO_COLOR=1")
	require.Contains(t, plain, s.hook)
	require.NotContains(t, plain, "\x1b")
	widest := 0
	for line := range strings.Lines(plain) {
		widest = max(widest, utf8.RuneCountInString(line)-1)
	}
	whole := strings.Index(s.run("webhooks list"), "\n")
	require.Greater(t, whole, widest, "a pipe gets the whole lines")
	require.Contains(t, show("TERM=xterm"), "\x1b[32mactive\x1b[")
}
