/** `generate-key`: a new signing key in the format of Synapse. */
import { randomBytes, randomInt } from 'node:crypto'
import { parseKeyId } from '../matrix/identifiers.ts'
import { signingKeyFromSeed } from '../matrix/portable-ed25519.ts'
import { writeSigningKeyFile } from '../matrix/signing-key-file.ts'
import type { ExitCode, Output } from './outcome.ts'
import { FILE_MODES, type WriteOptions, writeGenerated } from './write-file.ts'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

export function generateKey(options: WriteOptions, output: Output): Promise<ExitCode> {
  return writeGenerated(newSigningKey(), options, FILE_MODES.ownerAlone, output)
}

/** A key of a new version, so that it never passes for the key that it replaces. */
function newSigningKey(): string {
  const version = Array.from({ length: 4 }, () => LETTERS[randomInt(LETTERS.length)]).join('')
  const keyId = parseKeyId(`ed25519:a_${version}`)
  if (keyId === undefined) throw new Error('a made-up key version is no key version')
  return writeSigningKeyFile(signingKeyFromSeed(keyId, randomBytes(32)))
}
