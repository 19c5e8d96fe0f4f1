package pkgs

import (
	"fmt"
	"strings"
	"testing"
)

func TestAlternativesAreReadWithoutRunningTheScript(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"plain", "update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 --slave /a b /c\n", "{/usr/bin/awk /usr/bin/mawk 5}"},
		{"on several lines", "if x; then\n\tupdate-alternatives \\\n\t\t--install /usr/bin/a a \\\n\t\t/usr/bin/b \\\n\t\t7;\nfi", "{/usr/bin/a /usr/bin/b 7}"},
		{"in a loop", "for binary in php \"phar\"; do\n update-alternatives --install /usr/bin/$binary $binary /usr/bin/${binary}8.2 82\ndone\nupdate-alternatives --install /x $binary /y 1", "{/usr/bin/php /usr/bin/php8.2 82}{/usr/bin/phar /usr/bin/phar8.2 82}{/x /y 1}"},
		{"with do on its own line", "for b in x\ndo\nupdate-alternatives --install /$b b /y/$b 1\ndone", "{/x /y/x 1}"},
		{"in loops of loops", "for a in 1 2; do\nfor b in 3 4; do\nupdate-alternatives --install /$a$b x /t 1\ndone\ndone", "{/13 /t 1}{/14 /t 1}{/23 /t 1}{/24 /t 1}"},
		{"with constants", "dir=/usr/lib/jvm\ntools='java keytool'\npriority=1711\nfor i in $tools; do\nupdate-alternatives --install /usr/bin/$i $i $dir/$i $priority\ndone", "{/usr/bin/java /usr/lib/jvm/java 1711}{/usr/bin/keytool /usr/lib/jvm/keytool 1711}"},
		{"what is said twice is no constant", "p=1\np=2\nupdate-alternatives --install /a a /b $p", ""},
		{"what is computed is no constant", "p=$(x)\nq=`y`\nupdate-alternatives --install /a a /$q $p\nupdate-alternatives --install /a a /b/$1 1", ""},
		{"paths that lead elsewhere", "update-alternatives --install /a/../b a /c 1\nupdate-alternatives --install a a /c 1", ""},
		{"a loop that does not end", "for i in a b; do\nupdate-alternatives --install /$i a /c 1", ""},
	} {
		var got string
		for _, a := range alternatives(c.script) {
			got += fmt.Sprint(a)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	deep := strings.Repeat("for i in 1 2 3 4 5 6 7 8 9 10; do\n", 30) + strings.Repeat("done\n", 30)
	alternatives(deep) // must end
}
