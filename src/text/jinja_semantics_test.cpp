// The semantics of the template language, row by row: what Jinja 3.1.6 prints for each template, or that it raises an error.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "text/chat_template.h"

namespace infernum {
namespace {

struct Row {
  const char* source;
  const char* result;  // null: an error
};

constexpr const char* test_variables =
    R"_({"s": "Hello World", "u": " Zürich 漢字 🙂 ", "n": 3, "f": 2.5, "t": true, "x": null, "l": [3, 1, 2], "d": {"b": 1, "a": "it's",
      "items": 9, "name": "n"},
  "m": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo", "k": 1}],
  "names": ["b", "A", "c", "a"]})_";

// clang-format off
constexpr Row semantics_rows[] = {
    {R"_({{ undefined_name }}|)_", R"_(|)_"},
    {R"_({{ 'y' if undefined_name else 'n' }})_", R"_(n)_"},
    {R"_({{ undefined_name.x }})_", nullptr},
    {R"_({{ d.missing }}|{{ d.missing is defined }}|{{ d['missing'] is undefined }})_", R"_(|False|True)_"},
    {R"_({{ d.missing.deeper }})_", nullptr},
    {R"_({% for i in undefined_name %}x{% endfor %}|)_", R"_(|)_"},
    {R"_({{ undefined_name|length }})_", R"_(0)_"},
    {R"_({{ 'a' in undefined_name }})_", R"_(False)_"},
    {R"_({{ undefined_name == none }} {{ undefined_name is none }} {{ undefined_name == other }})_", R"_(False False True)_"},
    {R"_({{ undefined_name + 'a' }})_", nullptr},
    {R"_({{ 'a' + undefined_name }})_", nullptr},
    {R"_({{ 'a' ~ undefined_name ~ 'b' }})_", R"_(ab)_"},
    {R"_({{ undefined_name|upper }}|{{ undefined_name|trim }}|{{ undefined_name|list }}|{{ undefined_name|join(',') }})_", R"_(||[]|)_"},
    {R"_({{ undefined_name|int }})_", nullptr},
    {R"_({{ undefined_name|tojson }})_", nullptr},
    {R"_({{ undefined_name|items|list }})_", R"_([])_"},
    {R"_({{ undefined_name|dictsort }})_", nullptr},
    {R"_({{ undefined_name is sequence }} {{ undefined_name is iterable }} {{ undefined_name is mapping }})_", R"_(True True False)_"},
    {R"_({{ undefined_name|first is defined }} {{ []|first is defined }} {{ []|last is defined }})_", R"_(False False False)_"},
    {R"_({{ undefined_name() }})_", nullptr},
    {R"_({{ undefined_name[0] }})_", nullptr},
    {R"_({{ x }}|{{ x is none }})_", R"_(None|True)_"},
    {R"_({% for i in x %}{% endfor %})_", nullptr},
    {R"_({{ x|default('d') }}|{{ x|default('d', true) }}|{{ undefined_name|default('d') }}|{{ ''|d('e', true) }}|{{ ''|d('e') }}|{{ )_"
    R"_(y|default }}|)_",
     R"_(None|d|d|e|||)_"},
    {R"_({{ x + 'a' }})_", nullptr},
    {R"_({{ x.foo is defined }})_", R"_(False)_"},
    {R"_({{ x.foo.bar }})_", nullptr},
    {R"_({{ x|length }})_", nullptr},
    {R"_({{ x|trim }}|{{ x|upper }}|{{ x|string }}|{{ x|int }}|{{ x|tojson }})_", R"_(None|NONE|None|0|null)_"},
    {R"_({{ 'a' in x }})_", nullptr},
    {R"_({{ d.items() | list }}|{{ d['items'] }}|{{ d.name }}|{{ d['name'] }})_",
     R"_([('b', 1), ('a', "it's"), ('items', 9), ('name', 'n')]|9|n|n)_"},
    {R"_({{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d.keys()|list }} {{ d.values()|list }})_",
     R"_(1 None 5 ['b', 'a', 'items', 'name'] [1, "it's", 9, 'n'])_"},
    {R"_({{ [true, false, none, 'a', 1, {'k': "it's"}] }})_", R"_([True, False, None, 'a', 1, {'k': "it's"}])_"},
    {R"_({{ (1, 2) }} {{ (1,) }} {{ () }} {{ 1.0 }} {{ 1e20 }} {{ 1.5e-7 }} {{ 0.1 }} {{ 1e16 }} {{ 123456789012345.0 }} {{ 0.0001 }} )_"
    R"_({{ 0.00001 }} {{ 1e100 }})_",
     R"_((1, 2) (1,) () 1.0 1e+20 1.5e-07 0.1 1e+16 123456789012345.0 0.0001 1e-05 1e+100)_"},
    {R"_({{ ['tab\t', 'nl\n', 'q\'', 'dq"', 'both\'"', 'é', '\x07', '\\', '\u00a0', '\u200b'] }})_",
     R"_(['tab\t', 'nl\n', "q'", 'dq"', 'both\'"', 'é', '\x07', '\\', '\xa0', '\u200b'])_"},
    {R"_({{ {'a': {'b': [1, (2, 3)]}, 1: 2, none: 3, true: 4} }})_", R"_({'a': {'b': [1, (2, 3)]}, 1: 4, None: 3})_"},
    {R"_({{ 3/2 }} {{ 4/2 }} {{ -7//2 }} {{ -7%3 }} {{ 7%-3 }} {{ 'ab'*2 }} {{ 2*'ab' }} {{ [1]+[2] }} {{ [1]*2 }} {{ 2**10 }} {{ 2**-1 )_"
    R"_(}} {{ 7//2 }} {{ 7.5//2 }} {{ -7.5%2 }} {{ 1e3 }})_",
     R"_(1.5 2.0 -4 2 -2 abab abab [1, 2] [1, 1] 1024 0.5 3 3.0 0.5 1000.0)_"},
    {R"_({{ '%s|%d' % ('a', 3) }} {{ '%s' % 'x' }} {{ '%5.2f|%-4s|%04d|%x' % (3.14159, 'a', 42, 255) }} {{ '%%' % () }})_",
     R"_(a|3 x  3.14|a   |0042|ff %)_"},
    {R"_({{ 'a' + 1 }})_", nullptr},
    {R"_({{ 1 + 'a' }})_", nullptr},
    {R"_({{ [1] + (2,) }})_", nullptr},
    {R"_({{ 1 / 0 }})_", nullptr},
    {R"_({{ 1 % 0 }})_", nullptr},
    {R"_({{ 1 ~ 'a' ~ none ~ 2.0 }})_", R"_(1aNone2.0)_"},
    {R"_({{ 1 + 2 ~ 'a' }})_", nullptr},
    {R"_({{ true is number }} {{ true is integer }} {{ 1 == true }} {{ true|string }} {{ true + 1 }} {{ 1 == 1.0 }} {{ 1 is integer }} )_"
    R"_({{ 1.0 is float }} {{ 1 is boolean }})_",
     R"_(True False True True 2 True True True False)_"},
    {R"_({{ d is mapping }} {{ d is iterable }} {{ d is sequence }} {{ 's' is iterable }} {{ 's' is sequence }} {{ l is sequence }} {{ )_"
    R"_(l is mapping }} {{ 3 is iterable }} {{ none is iterable }} {{ none is sequence }} {{ (1,2) is sequence }})_",
     R"_(True True True True True True False False False False True)_"},
    {R"_({{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(4) }} {{ 3 is eq 3 }} {{ 3 is ne 3 }} {{ 3 is lt 4 )_"
    R"_(}} {{ 3 is gt 4 }} {{ 3 is in [1,3] }} {{ 3 is not in [1,3] }} {{ 'a' is lower }} {{ 'A' is upper }} {{ none is sameas none }} )_"
    R"_({{ range is callable }} {{ 's' is callable }} {{ 3 is ge(3) }} {{ 'x' is equalto 'x' }} {{ 'length' is filter }} {{ 'nope' is )_"
    R"_(filter }} {{ 'odd' is test }})_",
     R"_(True True True False True False True False True False True True True True False True True True False True)_"},
    {R"_({{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }} {{ none is false }})_",
     R"_(True False True False False)_"},
    {R"_({{ s is nosuchtest }})_", nullptr},
    {R"_({{ s|nosuchfilter }})_", nullptr},
    {R"_({% for i in [1] %}{% set q = 1 %}{% endfor %}{{ q is defined }})_", R"_(False)_"},
    {R"_({% if true %}{% set q = 1 %}{% endif %}{{ q }})_", R"_(1)_"},
    {R"_({% set ns = namespace(a=1) %}{% for i in [1,2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }} {{ ns.b is defined }})_",
     R"_(4 False)_"},
    {R"_({% set i = 'out' %}{% for i in [1,2] %}{{ i }}{% endfor %}{{ i }})_", R"_(12out)_"},
    {R"_({% set v = 1 %}{% for i in [1,2] %}{{ v }}{% set v = v + 1 %}{{ v }}{% endfor %}{{ v }})_", R"_(12121)_"},
    {R"_({% for i in [1,2] %}{% if i == 2 %}{{ q is defined }}{% endif %}{% set q = i %}{% endfor %})_", R"_(False)_"},
    {R"_({% macro f() %}{{ later }}{% endmacro %}{% set later = 'L' %}{{ f() }})_", R"_(L)_"},
    {R"_({% macro f() %}{{ i is defined }}{% endmacro %}{% for i in [1] %}{{ f() }}{% endfor %})_", R"_(False)_"},
    {R"_({% macro f(a, b='B') %}[{{ a }}|{{ b }}]{% endmacro %}{{ f() }}{{ f(1) }}{{ f(1, 2) }}{{ f(b=3, a=4) }})_",
     R"_([|B][1|B][1|2][4|3])_"},
    {R"_({% macro f(a) %}{{ a is defined }}{% endmacro %}{{ f() }}{{ f(none) }})_", R"_(FalseTrue)_"},
    {R"_({% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }})_", nullptr},
    {R"_({% macro f(a) %}{{ a }}{% endmacro %}{{ f(zz=2) }})_", nullptr},
    {R"_({% macro f(a, a2=a) %}{{ a2 }}{% endmacro %}{{ f(5) }})_", R"_(5)_"},
    {R"_({% macro f() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, k=3) }})_", R"_((1, 2){'k': 3})_"},
    {R"_({% macro f(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call f('b') %}in{% endcall %})_", R"_(<b>in</b>)_"},
    {R"_({% macro f() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) f() %}{{ a }}-{{ b }}{% endcall %})_", R"_(1-2)_"},
    {R"_({% macro f() %}  keep  {% endmacro %}[{{ f() }}]{{ f() is string }} {{ f.name }})_", R"_([  keep  ]True f)_"},
    {R"_({% macro outer() %}{% macro inner() %}I{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}{{ inner is defined }})_",
     R"_(IFalse)_"},
    {R"_({% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n - 1) }}{% endif %}{% endmacro %}{{ r(3) }})_", R"_(3210)_"},
    {R"_({{ 'a' if false }}|{{ 'a' if true }})_", R"_(|a)_"},
    {R"_({{ 'a' if false else 'b' if false else 'c' }})_", R"_(c)_"},
    {R"_({{ ('a' if false) is defined }})_", R"_(False)_"},
    {R"_({{ u|length }} {{ u[1] }} {{ u[9:11] }} {{ u|trim }}| {{ u[-2] }} {{ u[::-1] }})_", R"_(13 Z 字  Zürich 漢字 🙂| 🙂  🙂 字漢 hcirüZ )_"},
    {R"_({{ 'a b  c'.split() }} {{ ' a '.split(' ') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ''.split() }} {{ )_"
    R"_(''.split(',') }} {{ ' a b c '.split(none, 1) }} {{ 'a b c'.rsplit(none, 1) }})_",
     R"_(['a', 'b', 'c'] ['', 'a', ''] ['a', 'b,c'] ['a,b', 'c'] [] [''] ['a', 'b c '] ['a b', 'c'])_"},
    {R"_({{ 'a'.split('') }})_", nullptr},
    {R"_({{ '\u3000\xa0 x \n'.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ 'abcba'.rstrip('ab') }}|{{ )_"
    R"_('xax'|trim('x') }})_",
     R"_(x|a|cba|abc|a)_"},
    {R"_({{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.find('c') }} {{ )_"
    R"_('abc'.find('z') }} {{ 'äbc'.index('c') }} {{ 'aaa'.count('a') }} {{ 'a-b'.partition('-') }} {{ 'a-b-c'.rpartition('-') }})_",
     R"_(True True True 2 -1 2 3 ('a', '-', 'b') ('a-b', '-', 'c'))_"},
    {R"_({{ 'aXbX'.replace('X', '-', 1) }} {{ 'ab'.replace('', '.') }} {{ 'aXb'|replace('X', 3) }} {{ 'aaa'|replace('a', 'b', 2) }})_",
     R"_(a-bX .a.b. a3b bba)_"},
    {R"_({{ 'hello world'.title() }} {{ "they're bill's".title() }} {{ "they're o-k (foo) {bar}"|title }} {{ 'hELLO'|capitalize }} {{ )_"
    R"_('hELLO wORLD'.capitalize() }} {{ 'ß'|upper }} {{ 'É'|lower }} {{ 'aBc'.swapcase() }})_",
     R"_(Hello World They'Re Bill'S They're O-K (Foo) {Bar} Hello Hello world SS é AbC)_"},
    {R"_({{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} )_"
    R"_({{ ''.isdigit() }})_",
     R"_(True True True True True True False)_"},
    {R"_({{ '-'.join(['a', 'b']) }} {{ 'x'.center(5, '*') }} {{ 'x'.ljust(3) }}| {{ 'x'.rjust(3) }} {{ '7'.zfill(3) }} {{ '-7'.zfill(4) )_"
    R"_(}} {{ 'ab'|center(5) }}|)_",
     R"_(a-b **x** x  |   x 007 -007   ab |)_"},
    {R"_({{ '{} {1}'.format(1, 2) }})_", nullptr},
    {R"_({{ '{} {}'.format(1, 'a') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}'.format(x=3) }} {{ '{{}}'.format() }} {{ )_"
    R"_('{:5}|{:<5}|{:>5}|{:.2f}|{:03d}'.format('a', 'b', 'c', 1.5, 7) }})_",
     R"_(1 a aba 3 {} a    |b    |    c|1.50|007)_"},
    {R"_({{ 'a\nb\r\nc'.splitlines() }} {{ 'a\n'.splitlines(true) }} {{ 'preX'.removeprefix('pre') }} {{ 'Xsuf'.removesuffix('suf') }})_",
     R"_(['a', 'b', 'c'] ['a\n'] X X)_"},
    {R"_({{ 'x'.nosuch() }})_", nullptr},
    {R"_({{ {'a': 1, 'é': [1.0, none, true], 's': '"\\\b\f\n\r\t\x01\x7f/<>&\''}|tojson }})_",
     R"_({"a": 1, "é": [1.0, null, true], "s": "\"\\\b\f\n\r\t\u0001/<>&'"})_"},
    {R"_({{ {'b': [], 'a': {}, 'c': [1, {'x': 2}]}|tojson(indent=2) }})_", R"_({
  "b": [],
  "a": {},
  "c": [
    1,
    {
      "x": 2
    }
  ]
})_"},
    {R"_({{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ [1, 2]|tojson(separators=(',', ':')) }} {{ 'é🙂'|tojson(ensure_ascii=true) }} )_"
    R"_({{ [1,2]|tojson(indent=0) }})_",
     R"_({"a": 2, "b": 1} [1,2] "\u00e9\ud83d\ude42" [
1,
2
])_"},
    {R"_({{ 1e20|tojson }} {{ 1.5|tojson }} {{ (1, 2)|tojson }} {{ none|tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5}|tojson }} {{ )_"
    R"_('s'|tojson }})_",
     R"_(1e+20 1.5 [1, 2] null {"1": 4, "null": 3, "1.5": 5} "s")_"},
    {R"_({{ range|tojson }})_", nullptr},
    {R"_({{ l|sort }} {{ names|sort }} {{ names|sort(reverse=true) }} {{ names|sort(case_sensitive=true) }} {{ )_"
    R"_(m|sort(attribute='content')|map(attribute='content')|list }})_",
     R"_([1, 2, 3] ['A', 'a', 'b', 'c'] ['c', 'b', 'A', 'a'] ['A', 'a', 'b', 'c'] ['Hi', 'Yo'])_"},
    {R"_({{ [1, 'a']|sort }})_", nullptr},
    {R"_({{ d|dictsort(by='key') }} {{ {'b': 2, 'A': 1, 'c': 0}|dictsort }} {{ {'b': 2, 'A': 1}|dictsort(true) }} {{ {'b': 1, 'a': )_"
    R"_(2}|dictsort(by='value') }} {{ {'b': 1, 'a': 2}|dictsort(reverse=true) }})_",
     R"_([('a', "it's"), ('b', 1), ('items', 9), ('name', 'n')] [('A', 1), ('b', 2), ('c', 0)] [('A', 1), ('b', 2)] [('b', 1), ('a', )_"
     R"_(2)] [('b', 1), ('a', 2)])_"},
    {R"_({{ 'a\n\nb'|indent }}| {{ 'a\nb'|indent(2, true) }}| {{ 'a\n\nb'|indent(2, blank=true) }}| {{ 'a\nb'|indent('> ') }}|)_", R"_(a

    b|   a
  b| a
  
  b| a
> b|)_"},
    {R"_({{ none|indent }})_", nullptr},
    {R"_({{ ['a', 'A', 'b', 'a']|unique|list }} {{ ['a', 'A']|unique(true)|list }} {{ [1, 1.0, true, 2]|unique|list }})_",
     R"_(['a', 'b'] ['a', 'A'] [1, 2])_"},
    {R"_({{ [1, none, 'a']|join('-') }} {{ 'abc'|join(',') }} {{ m|join(',', attribute='role') }} {{ d|join(',') }})_",
     R"_(1-None-a a,b,c user,assistant b,a,items,name)_"},
    {R"_({{ l|first }} {{ l|last }} {{ 'abc'|first }} {{ 'abc'|last }} {{ d|first }} {{ d|last }})_", R"_(3 2 a c b name)_"},
    {R"_({{ 'x'|int }} {{ '12'|int }} {{ ' 12 '|int }} {{ '12.7'|int }} {{ 12.7|int }} {{ 'x'|int(5) }} {{ '0x1A'|int(0, 16) }} {{ )_"
    R"_(true|int }} {{ '1e3'|int }} {{ '1.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ -12.7|int }})_",
     R"_(0 12 12 12 12 5 26 1 1000 1.5 0.0 3.0 -12)_"},
    {R"_({{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42|round }} {{ 2.1|round(0, 'ceil') }} {{ 2.9|round(method='floor') }} )_"
    R"_({{ 42|round(1, 'ceil') }} {{ 1234.5|round(-2) }} {{ -5|abs }} {{ -2.5|abs }} {{ -2|abs }})_",
     R"_(2.0 4.0 2.67 42 3.0 2.0 42.0 1200.0 5 2.5 2)_"},
    {R"_({{ [1, 2, 3]|sum }} {{ m|sum(attribute='k') }})_", nullptr},
    {R"_({{ [{'k': 1}, {'k': 2.5}]|sum(attribute='k') }} {{ [[1], [2]]|sum(start=[]) }} {{ l|min }} {{ l|max }} {{ names|min }} {{ )_"
    R"_(names|max }} {{ []|max is defined }})_",
     R"_(3.5 [1, 2] 1 3 A c False)_"},
    {R"_({{ [1, 2, 3]|reverse|list }} {{ 'abc'|reverse }} {{ l[::-1] }} {{ [1,2,3,4,5]|batch(2)|list }} {{ [1,2,3]|batch(2, 0)|list }} )_"
    R"_({{ [1,2,3,4,5]|slice(2)|list }} {{ [1,2,3]|slice(2, 'x')|list }})_",
     R"_([3, 2, 1] cba [2, 1, 3] [[1, 2], [3, 4], [5]] [[1, 2], [3, 0]] [[1, 2, 3], [4, 5]] [[1, 2], [3, 'x']])_"},
    {R"_({{ m|map(attribute='role')|list }} {{ names|map('upper')|list }} {{ m|map(attribute='k', default=0)|list }} {{ )_"
    R"_(['a']|map('replace', 'a', 'b')|list }} {{ [' a ']|map('trim')|join }})_",
     R"_(['user', 'assistant'] ['B', 'A', 'C', 'A'] [0, 1] ['b'] a)_"},
    {R"_({{ m|selectattr('role', 'equalto', 'user')|list|length }} {{ m|selectattr('k', 'defined')|map(attribute='role')|list }} {{ )_"
    R"_(m|rejectattr('k', 'defined')|map(attribute='role')|list }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 2, 3]|reject('odd')|list )_"
    R"_(}} {{ [0, 1, '']|select|list }} {{ [1,2,3]|reject('equalto', 2)|list }} {{ [1,2,3]|select('>', 1)|list }} {{ )_"
    R"_(m|selectattr('k')|list|length }})_",
     R"_(1 ['assistant'] ['user'] [1, 3] [2] [1] [1, 3] [2, 3] 1)_"},
    {R"_({{ 'T' if m|selectattr('role', 'equalto', 'nobody') else 'F' }})_", R"_(T)_"},
    {R"_({{ m|selectattr('role', 'equalto', 'nobody')|length }})_", nullptr},
    {R"_({{ (m|map(attribute='role'))[0] is defined }} {{ none|map('upper')|list }} {{ 0|select|list }})_", R"_(False [] [])_"},
    {R"_({% set g = [1, 2]|map('string') %}{{ g|list }}{{ g|list }})_", R"_(['1', '2'][])_"},
    {R"_({{ m|groupby('role')|map('first')|list }} {% for role, items in m|groupby('role') %}{{ role }}={{ items|length }};{% endfor %})_",
     R"_(['assistant', 'user'] assistant=1;user=1;)_"},
    {R"_({{ '<a href="x">&\'</a>'|e }} {{ 'a b/ü'|urlencode }} {{ 'a b  c-d'|wordcount }} {{ 'hello big world'|truncate(9) }} {{ 'hello )_"
    R"_(big world'|truncate(9, true) }} {{ 'hello big world'|truncate(11, leeway=0) }} {{ '%s-%s'|format(1, 'b') }})_",
     R"_(&lt;a href=&#34;x&#34;&gt;&amp;&#39;&lt;/a&gt; a%20b/%C3%BC 4 hello... hello ... hello... 1-b)_"},
    {R"_({{ '<b>'|safe + '<i>' }} {{ '<i>' + '<b>'|safe }} {{ '<b>'|safe ~ '<i>' }} {{ ('<b>'|safe)|e }} {{ ('<b>'|safe + )_"
    R"_('x').replace('x', '<') }} {{ '<'|e is escaped }} {{ ('%s'|safe) % '<' }} {{ ('<b>'|safe)[0] + '<' }} {{ ('a<b'|safe)|upper + )_"
    R"_('<' }})_",
     R"_(<b>&lt;i&gt; &lt;i&gt;<b> <b><i> <b> <b>&lt; True &lt; <&lt; A<B&lt;)_"},
    {R"_({{ -2|abs }} {{ 4 + 3|string|length }} {{ -3 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ not 1 == 2 }} {{ not )_"
    R"_(false and true }} {{ 1 if not 0 or 1 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 }} {{ 10 - 2 - 3 }} {{ 1 in [1] == true }} {{ 'a' not in )_"
    R"_('b' }})_",
     R"_(2 5 9 64 True False True True 1 14 20 5 False True)_"},
    {R"_({{ [1, 2] == [1, 2] }} {{ [1] == (1,) }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ )_"
    R"_('Z' < 'a' }} {{ 1 == '1' }} {{ none == none }} {{ 'é' > 'z' }})_",
     R"_(True False True True True True False True True)_"},
    {R"_({{ 1 < 'a' }})_", nullptr},
    {R"_({{ none < 1 }})_", nullptr},
    {R"_({{ 1 in 'a' }})_", nullptr},
    {R"_({{ 1 in 5 }})_", nullptr},
    {R"_({{ l[0] }} {{ l[-1] }} {{ l[9] is defined }} {{ l[1:] }} {{ l[:-1] }} {{ l[::2] }} {{ l[5:] }} {{ l[-2:] }} {{ l[2:0:-1] }} {{ )_"
    R"_('abcdef'[1:-1:2] }} {{ l[true] }} {{ (1,2,3)[1:] }} {{ l['x'] is defined }} {{ l.0 }} {{ m.0.role }})_",
     R"_(3 2 False [1, 2] [3, 1] [3, 2] [] [1, 2] [2, 1] bd 1 (2, 3) False 3 user)_"},
    {R"_({{ l[::0] }})_", nullptr},
    {R"_({{ l[1.5] is defined }} {{ d[l] is defined }} {{ s.upper() }} {{ s['upper']() }})_", R"_(False False HELLO WORLD HELLO WORLD)_"},
    {R"_({% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }};{% endfor %})_", R"_(12;34;)_"},
    {R"_({% for a, b in [(1, 2, 3)] %}{% endfor %})_", nullptr},
    {R"_({% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }};{% endfor %}{% for c in 'añ' %}{{ c }};{% )_"
    R"_(endfor %})_",
     R"_(b=1;a=it's;items=9;name=n;b;a;items;name;a;ñ;)_"},
    {R"_({% for k, v in {'a': {'x': 1}}|items %}{% for q, w in v.items() %}{{ k }}{{ q }}{{ w }}{% endfor %}{% endfor %})_", R"_(ax1)_"},
    {R"_({% for i in [1, 2, 3, 4] if i is even %}{{ loop.index }}/{{ loop.length }}:{{ i }};{% endfor %})_", R"_(1/2:2;2/2:4;)_"},
    {R"_({% for i in [] %}x{% else %}empty{% endfor %}{% for i in [1] if i > 1 %}x{% else %}none{% endfor %})_", R"_(emptynone)_"},
    {R"_({% for i in 'abc' %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ )_"
    R"_(loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.cycle('x', 'y') }};{% endfor %})_",
     R"_(1032TrueFalseb10x;2121FalseFalseac10y;3210FalseTrueb10x;)_"},
    {R"_({% for i in [1, 1, 2] %}{{ loop.changed(i) }};{% endfor %}{{ loop is defined }})_", R"_(True;False;True;False)_"},
    {R"_({% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}{% for i in [1, 2, 3] %}{% if i == 2 %}{% )_"
    R"_(break %}{% endif %}{{ i }}{% endfor %})_",
     R"_(131)_"},
    {R"_({% for i in [[1, [2]], [3]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}@{{ loop.depth0 }}{% endif %}{% )_"
    R"_(endfor %})_",
     R"_((1@1(2@2))(3@1))_"},
    {R"_({% for i in range(3) %}{{ i }}{% endfor %}{{ range(2, 8, 3)|list }}{{ range(3, 0, -1)|list }}{{ range(0)|list }})_",
     R"_(012[2, 5][3, 2, 1][])_"},
    {R"_({% for i in [1,2] %}{% for j in [1] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %})_", R"_(1112)_"},
    {R"_({% for m in m %}{{ m.role }}{% endfor %})_", R"_(userassistant)_"},
    {R"_({% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, %}{{ c }})_", R"_(12(1,))_"},
    {R"_({% set q %}  text {{ n }} {% endset %}[{{ q }}]{% set q | upper | trim %} abc {% endset %}[{{ q }}])_", R"_([  text 3 ][ABC])_"},
    {R"_({% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | upper %}aa{% endfilter %})_", R"_(ABC HELLO WORLDBB)_"},
    {R"_({% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }})_", R"_(12False)_"},
    {R"_({% set a = 9 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %})_", R"_(19)_"},
    {R"_({% set x.y = 1 %})_", nullptr},
    {R"_({% set nope.y = 1 %})_", nullptr},
    {R"_({% generation %}gen{% set q = 1 %}{% endgeneration %}{{ q is defined }})_", R"_(genFalse)_"},
    {R"_({% raw %}{{ x }} {% if %}{% endraw %}|{%- raw -%} a {%- endraw -%} |)_", R"_({{ x }} {% if %}|a|)_"},
    {R"_({{ "a" 'b' "c" }} {{ "\x41\u00e9\t\"\\\'" }} {{ 'q\qz' }} {{ '\101' }} {{ "\U0001F642" }})_", R"_(abc Aé	"\' q\qz A 🙂)_"},
    {R"_({{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1_000 }} {{ 1.5e3 }} {{ 1e-3 }} {{ 12.50 }})_", R"_(31 3 15 1000 1500.0 0.001 12.5)_"},
    {R"_({# comment #}a{#- comment -#} b {# multi
line #})_",
     R"_(ab )_"},
    {R"_({% if true %}
 a
{% endif %}
   {% if true %}x{% endif %}   
  {%+ if true %}y{% endif +%}
z
{{ 1 }}
{{- 2 -}}
   {{ 3 }}   
   {#- c -#}
   end
a {%- if true -%} b {%- endif -%} c
	{% set q = 1 %}	
done
{{ n }}{# c #}
next)_",
     R"_( a
x   
  y
z
123end
abc
	
done
3next)_"},
    {R"_({{ namespace(a=1, b='x').b }} {{ dict(a=1, **{'b': 2}) }} {{ namespace({'a': 5}).a }})_", R"_(x {'a': 1, 'b': 2} 5)_"},
    {R"_({% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }})_", R"_(1234)_"},
    {R"_({{ raise_exception('no') }})_", nullptr},
    {R"_({{ [1,2,3].index(2) }} {{ [1,1].count(1) }} {{ (1,2).index(2) }})_", R"_(1 2 1)_"},
    {R"_({{ true and 'a' }} {{ 0 or 'b' }} {{ '' or none }} {{ none and 1 }} {{ [] or {} }})_", R"_(a b None None {})_"},
    {R"_({{ {'a': 1}.a }} {{ {'a': {'b': 2}}['a']['b'] }} {{ {'x-y': 1}['x-y'] }} {{ {1: 'one'}[1] }} {{ {1: 'one'}[true] }} {{ {(1, )_"
    R"_(2): 'p'}[1, 2] }})_",
     R"_(1 2 1 one one p)_"},
    {R"_({{ {[1]: 2} }})_", nullptr},
    {R"_({% if n %}{% elif x %}{% else %}{% endif %}{% if 0 %}a{% elif n == 3 %}b{% else %}c{% endif %})_", R"_(b)_"},
    {R"_({{ n is defined and n > 2 }} {{ n is not none }} {{ n is not string and n is number }} {{ not n is string }})_",
     R"_(True True True True)_"},
    {R"_({{ 5 is string or 5 is number }} {{ s is string and s|length > 3 }})_", R"_(True True)_"},
    {R"_({% set ns = namespace(l=[]) %}{% for i in [1, 2] %}{% set ns.l = ns.l + [i * 2] %}{% endfor %}{{ ns.l }})_", R"_([2, 4])_"},
    {R"_({% set l2 = [1] %}{% set _ = l2.append(2) %}{{ l2 }}{% set _ = l2.extend([3]) %}{{ l2.pop() }}{{ l2.pop(0) }}{{ l2 }}{{ )_"
    R"_(l2.insert(0, 'z') }}{{ l2 }})_",
     R"_([1, 2]31[2]None['z', 2])_"},
    {R"_({% set d2 = {'a': 1} %}{% set _ = d2.update({'b': 2}, c=3) %}{{ d2 }}{{ d2.pop('a') }}{{ d2.pop('q', 7) }}{{ d2 }}{{ )_"
    R"_(d2.setdefault('s', 1) }}{{ d2|length }})_",
     R"_({'a': 1, 'b': 2, 'c': 3}17{'b': 2, 'c': 3}13)_"},
    {R"_({{ {}.pop('q') }})_", nullptr},
    {R"_({{ [].pop() }})_", nullptr},
    {R"_({{ '' is defined }} {{ s.__class__ is defined }})_", R"_(True False)_"},
    {R"_({% if m[0].content is string and 'Hi' in m[0].content %}yes{% endif %}{{ m[0]['content'][:1] }}{{ m[-1].role }})_",
     R"_(yesHassistant)_"},
    {R"_({{ "a,b".split(",")[-1] }} {{ "</think>x".split("</think>")[-1].lstrip("\n") }} {{ ("a" ~ "b")|upper }} {{ (1,2)|list + [3] }})_",
     R"_(b x AB [1, 2, 3])_"},
    {R"_({{ [[1, 2], [3]]|map('length')|list }} {{ [[3, 1], [2]]|map('sort')|list }} {{ [{'a': {'b': 1}}]|map(attribute='a.b')|list }} )_"
    R"_({{ [[5, 6]]|map(attribute=1)|list }})_",
     R"_([2, 1] [[1, 3], [2]] [1] [6])_"},
    {R"_({{ 'abc'[::-1]|upper|list }} {{ 'a'|list }} {{ d|list }} {{ d|length }} {{ l|count }})_",
     R"_(['C', 'B', 'A'] ['a'] ['b', 'a', 'items', 'name'] 4 3)_"},
    {R"_({% macro f() %}{% for i in [1] %}{{ kwargs.a }}{% endfor %}{% endmacro %}{{ f(a=1) }}{{ f() }})_", R"_(1)_"},
    {R"_({{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }})_", R"_(9223372036854775807 -9223372036854775808)_"},
    {R"_({{ 0.1 + 0.2 }} {{ 1e15 }} {{ 1e22 }} {{ 100000000000000000.0 }} {{ 3.0 * 2 }} {{ 7 / 7 }} {{ 2 ** 0.5 }} {{ -0.0 }})_",
     R"_(0.30000000000000004 1000000000000000.0 1e+22 1e+17 6.0 1.0 1.4142135623730951 -0.0)_"},
    {R"_({{ '\n' in 'a\nb' }} {{ 'ab' * 0 }}| {{ 'ab' * -1 }}| {{ [] * 5 }})_", R"_(True | | [])_"},
};
// clang-format on

TEST(JinjaSemantics, EveryRowPrintsWhatTheReferencePrints) {
  const auto variables = nlohmann::ordered_json::parse(test_variables);
  const auto messages = nlohmann::ordered_json::array();
  ChatInputs inputs;
  inputs.messages = &messages;
  inputs.extra = &variables;
  for (auto& row : semantics_rows) {
    std::string result, error;
    try {
      result = joined(ChatTemplate(row.source).render(inputs));
    } catch (const TemplateError& e) {
      error = e.what();
    }
    if (row.result)
      EXPECT_EQ(result, row.result) << row.source << "\n" << error;
    else
      EXPECT_NE(error, "") << row.source << " printed " << result;
  }
}

}  // namespace
}  // namespace infernum
