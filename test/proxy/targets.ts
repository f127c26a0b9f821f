/** Request targets that proxies like to tidy, and that must arrive as they were sent. */
const MAKE_KNOCK = '/_matrix/federation/v1/make_knock'

/** Every byte escaped. */
function escaped(text: string): string {
  return [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join('')
}

export const AWKWARD_TARGETS: readonly (readonly [string, string])[] = [
  ['sigils and colons escaped', `${MAKE_KNOCK}/%21room%3Aexample.org/%40user%3Aexample.com?ver=10&ver=11`],
  ['nothing escaped', `${MAKE_KNOCK}/!room:example.org/@user:example.com?ver=10`],
  ['one escaped, one not', `${MAKE_KNOCK}/%21room:example.org/@user%3Aexample.com`],
  ['escapes in lower case', `${MAKE_KNOCK}/%21a%2fb%3aexample.org/%40c%2fd%3aexample.com`],
  ['escaped slashes', `${MAKE_KNOCK}/%21a%2Fb:example.org/%40%2F%2F:example.com`],
  ['two slashes', `${MAKE_KNOCK}/!room:example.org//@user:example.com`],
  ['slashes at the end', `${MAKE_KNOCK}/!room:example.org/@user:example.com//`],
  ['escaped percent signs', `${MAKE_KNOCK}/%21a%25b%2525:example.org/%40%2521:example.com`],
  ['plus signs, escaped and not', `${MAKE_KNOCK}/!a+b%2Bc:example.org/@d+e:example.com?ver=a+b%2Bc%20d`],
  ['every other character that paths may have', `${MAKE_KNOCK}/!-._~$&'()*+,;=:example.org/@a=b;c=d,e:example.com`],
  ['escapes that need not be', `${MAKE_KNOCK}/%21%72%6F%6f%6D%2D%2e:example.org/%40%75%7E:example.com`],
  ['an escaped dot-dot', `${MAKE_KNOCK}/!a%2E%2E%2Fb:example.org/@..%2f..:example.com`],
  ['letters outside of ASCII', `${MAKE_KNOCK}/%21%C3%A9:example.org/%40%F0%9F%98%80%EF%AC%B3:example.com`],
  ['an escaped question mark and hash', `${MAKE_KNOCK}/%21a%3F%23:example.org/%40b%3f:example.com?ver=10?`],
  ['an escaped space and backslash', `${MAKE_KNOCK}/%21a%20b:example.org/%40c%5Cd:example.com`],
  ['no query after a question mark', `${MAKE_KNOCK}/!room:example.org/@user:example.com?`],
  [
    'an odd query',
    `${MAKE_KNOCK}/!room:example.org/@user:example.com?ver=%31%30&&ver&=&ver=org.example.%F0%9F%98%80;x`,
  ],
  ['ids of 300 bytes', `${MAKE_KNOCK}/!${'r'.repeat(287)}:example.org/@${'u'.repeat(287)}:example.com?ver=12`],
  ['ids of 300 bytes, escaped', `${MAKE_KNOCK}/${escaped('é'.repeat(150))}/${escaped('@'.repeat(300))}?ver=12`],
]
