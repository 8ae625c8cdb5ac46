package docs

import (
	"strings"
	"sync"
)

// guideNames are the guides in display order; each is guides/<name>.md, which begins with its title and a summary.
var guideNames = []string{
	"verify", "receive", "retries", "replay", "migrate-from-svix", "migrate-from-convoy", "migrate-contracts", "operate",
	"traces",
}

// guides lists the guides.
var guides = sync.OnceValue(func() []entry {
	var out []entry
	for _, name := range guideNames {
		parts := strings.SplitN(guide(name), "\n\n", 3)
		summary := strings.ReplaceAll(strings.TrimSpace(parts[1]), "\n", " ")
		out = append(out, entry{name, strings.TrimPrefix(parts[0], "# "), summary})
	}
	return out
})

func guide(name string) string {
	raw, err := files.ReadFile("guides/" + name + ".md")
	if err != nil {
		panic(err) // a part of the program
	}
	return string(raw)
}

func (s *Site) addGuides() {
	for _, name := range guideNames {
		source := []byte(guide(name))
		s.add("/docs/guides/"+name+".md", markdown, func() ([]byte, error) { return source, nil })
		s.add("/docs/guides/"+name, html, func() ([]byte, error) {
			body, err := toHTML(source)
			if err != nil {
				return nil, err
			}
			title, _, _ := strings.Cut(strings.TrimPrefix(string(source), "# "), "\n")
			return execute("text", map[string]any{
				"Title": title, "Body": body, "Links": []link{{"/docs/guides/" + name + ".md", "Markdown"}},
			})
		})
	}
}
