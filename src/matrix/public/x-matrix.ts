/** `matrix-knock/x-matrix`: signing and checking JSON and federation requests, and the keys that they are signed with. */
export { decodeBase64, encodeBase64 } from '../base64.ts'
export { type Ed25519, isSmallOrder, nativeEd25519, type SigningKey } from '../ed25519.ts'
export { type KeyId, parseKeyId, parseServerName, type ServerName } from '../identifiers.ts'
export { portableEd25519, signingKeyFromSeed } from '../portable-ed25519.ts'
export {
  cappedValidity,
  checkKeyObject,
  isUsableKey,
  type PublishedKey,
  type ServerKeys,
  type ServerKeysResult,
} from '../server-keys.ts'
export { allVerify, type SignatureWithKey, signaturesBy, signedBytes, signJson } from '../signed-json.ts'
export { parseSigningKeyFile, type SigningKeyFile, writeSigningKeyFile } from '../signing-key-file.ts'
export {
  authorizationOf,
  isXMatrix,
  parseXMatrix,
  requestObject,
  type SignedRequest,
  writeXMatrix,
  type XMatrix,
  type XMatrixResult,
} from '../x-matrix.ts'
