package train

import (
	"reflect"
	"strings"
)

// field is what the tags of Config say of one setting.
type field struct {
	key     string   // its name in files, on the command line and in messages
	aliases []string // other names that users know it by
	index   int      // in Config
	free    bool     // may change when a run resumes
}

// fields are the settings in the order of Config.
func fields() []field {
	t := reflect.TypeFor[Config]()
	all := make([]field, t.NumField())
	for i := range all {
		tag := t.Field(i).Tag
		all[i] = field{key: tag.Get("yaml"), index: i, free: tag.Get("resume") == "free"}
		if aliases := tag.Get("alias"); aliases != "" {
			all[i].aliases = strings.Split(aliases, ",")
		}
	}
	return all
}

// fieldsByName are the settings by key and alias.
func fieldsByName() map[string]field {
	byName := map[string]field{}
	for _, f := range fields() {
		for _, name := range append(f.aliases, f.key) {
			byName[name] = f
		}
	}
	return byName
}
