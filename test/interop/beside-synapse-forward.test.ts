/** Synapse with the service beside it, which sends knocks on to Synapse's own send_knock. */
import { playAll } from './support/play.ts'
import { SETTINGS } from './support/settings.ts'

playAll(SETTINGS.synapseForward)
