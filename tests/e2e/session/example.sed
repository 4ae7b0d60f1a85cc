# The code between the [example] marks of a header, without the comment signs.
/^\/\/ \[example\]/,/^\/\/ \[\/example\]/{
/^\/\/ \[/d
s|^// \{0,3\}||
p
}
