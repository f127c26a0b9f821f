/** `npm run generate`: writes every generated file. With `--check` it writes nothing and fails where one is not up to date. */
import './generate-config-files.ts'
import './generate-observing.ts'
import './generate-spec-map.ts'
