package media_test

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api/media"
)

func TestSniff_kinds(t *testing.T) {
	t.Parallel()
	const types, office = "[Content_Types].xml", "application/vnd.openxmlformats-officedocument."
	const ole = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
	compound := ole + strings.Repeat("\x00", 40) + "\xff\x00\x00\x00" + strings.Repeat("\x00", 4000)
	for name, c := range map[string]struct {
		file            string
		photo, document string
	}{
		"a.png":       {"\x89PNG\r\n\x1a\n", "image/png", ""},
		"a.jpg":       {"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg", ""},
		"a.gif":       {"GIF89a\x01\x00\x01\x00", "image/gif", ""},
		"a.webp":      {"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp", ""},
		"svg.png":     {`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "", "text/plain"},
		"a.pdf":       {"%PDF-1.7\n", "", "application/pdf"},
		"a.ps":        {"%!PS-Adobe-3.0\n", "", "application/postscript"},
		"a.rtf":       {`{\rtf1\ansi Ada}`, "", "text/rtf"},
		"a.dvi":       {"\xf7\x02\x01\x83\x92\xc0\x1c\x3b", "", "application/x-dvi"},
		"a.txt":       {"Ada Byron, Ähnliches", "", "text/plain; charset=utf-8"},
		"a.html":      {"<!DOCTYPE html><script>alert(1)</script>", "", "text/plain"},
		"a.json":      {`{"name": "Ada"}`, "", "text/plain"},
		"a.doc":       {compound, "", "application/msword"},
		"A.PPT":       {compound, "", "application/vnd.ms-powerpoint"},
		"setup.msi":   {compound, "", ""},
		"a.docx":      {archive(t, types, "word/document.xml"), "", office + "wordprocessingml.document"},
		"a.pptx":      {archive(t, types, "ppt/presentation.xml"), "", office + "presentationml.presentation"},
		"zip.docx":    {archive(t, "virus.exe"), "", ""},
		"program.doc": {"\x7fELF\x02\x01\x01", "", ""},
		"movie.pdf":   {string(webm(100)), "", ""},
		"nothing.txt": {"", "", ""},
		"random.doc":  {string(random(5000)), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for want, kind := range map[*string]media.Kind{&c.photo: media.Photo, &c.document: media.Document} {
				got, _, err := media.Sniff(strings.NewReader(c.file), kind, name)
				assert.Equal(t, *want, got)
				if *want == "" {
					require.ErrorIs(t, err, media.ErrType)
				}
			}
		})
	}
}

// archive is a ZIP file with files of these names.
func archive(t *testing.T, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte("<x/>"))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.String()
}
