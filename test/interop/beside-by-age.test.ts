/** The service without an application service: it reads rooms again once they are older than configured. */
import { playAll } from './support/play.ts'
import { BY_AGE } from './support/settings.ts'

for (const setting of BY_AGE) playAll(setting)
